import { askToCancel } from "../runs/cancel.ts";
import type { RunLoop, RunLoopParts } from "../runs/run-loop.ts";
import { attemptUnderWay, taskOf } from "../runs/run-state.ts";
import { tellTask, whyUnread } from "../runs/task-message.ts";
import { postRequest } from "../store/inbox.ts";
import { requestTaken } from "../store/inbox-answer.ts";
import type { InboxRequest, PostedRequest } from "../store/inbox-request.ts";
import { attemptFolder, runPaths } from "../store/layout.ts";
import type { OpenRun, RunStore } from "../store/run-store.ts";
import type { World } from "../system/world.ts";
import { keepArtifacts } from "../workers/artifacts.ts";
import { demandCheckpoint } from "../workers/checkpoint-demand.ts";
import { putMail } from "../workers/mail.ts";
import { giveUpTask, type KeepingParts } from "./record-dead-letter.ts";
import { tellRedriven } from "./record-redrive.ts";

/** The session that asks or owns. */
interface Party extends Omit<KeepingParts, "notify"> {
  world: World;
  store: RunStore;
  sessionId: string;
  redact: (text: string) => string;
}

interface OwnedRun {
  run: OpenRun;
  loop: RunLoop;
}

/** Asks a run's owner: this process when it has it `live`, else another, which gets a moment to answer. */
export async function askOwner(own: Party, live: OwnedRun | undefined, runId: string, asked: InboxRequest) {
  const { world, sessionId } = own;
  const request = asked.kind === "steer" ? { ...asked, text: own.redact(asked.text) } : asked;
  if (!live) {
    const { folder } = runPaths(own.store.crewRoot, runId);
    const id = await postRequest(world, folder, request, sessionId);
    return { id, answered: await requestTaken(world, folder, id) };
  }
  const id = `m-${world.random.hex(8)}`;
  const from = { pid: world.processes.self().pid, sessionId };
  await answerRequest(own, live, { ...request, id, at: world.clock.now(), from });
  return { id, answered: true };
}

/**
 * What a run's owner does about a request; on disk when it resolves. One that can't be met any more is dropped with a
 * line in the log: who asked finds the reason in the run's state.
 */
export async function answerRequest(own: Party, { run, loop }: OwnedRun, request: PostedRequest): Promise<void> {
  const { runId } = run.manifest;
  const refuse = (why: string) => own.world.log.warn("a request was refused", { runId, id: request.id, why });
  if (request.kind === "cancel") await askToCancel(run, loop, request.reason);
  else if (request.kind === "cancel-task") await askToCancel(run, loop, request.reason, request.taskId);
  else if (request.kind === "steer") {
    const { id: messageId, taskId, text, from } = request;
    const why = whyUnread(run, taskId);
    if (why !== null) return refuse(why);
    const message = { messageId, taskId, from: own.redact(from.sessionId), text };
    await tellTask({ ...mailParts(own, run), run }, message);
    loop.heard(taskId);
  } else if (request.kind === "checkpoint") {
    const task = taskOf(run.state, request.taskId);
    const attempt = task && attemptUnderWay(task)?.attempt;
    if (attempt === undefined) return refuse(`task ${request.taskId} is not at work`);
    await demandCheckpoint(own.world.files, attemptFolder(own.store.crewRoot, runId, request.taskId, attempt));
  } else {
    const { taskId } = request;
    const done =
      request.kind === "redrive" ? tellRedriven(run, taskId, request.newRunId) : giveUpTask(run, own, taskId);
    if (!(await done)) refuse(`task ${taskId} did not fail`);
  }
}

/** How messages reach the workers of a run, and files come from them. */
export function mailParts(
  { world, store, redact }: Pick<Party, "world" | "store" | "redact">,
  { manifest }: OpenRun,
): Pick<RunLoopParts, "attemptFolder" | "putMail" | "keepArtifacts" | "redact"> {
  return {
    attemptFolder: (taskId, attempt) => attemptFolder(store.crewRoot, manifest.runId, taskId, attempt),
    putMail: (folder, mail) => putMail(world.files, folder, mail),
    keepArtifacts: (artifacts) =>
      keepArtifacts(world.files, artifacts, runPaths(store.crewRoot, manifest.runId).folder),
    redact,
  };
}
