import { codeOf, UserError } from "../system/errors.ts";
import { collectSecretValues, createRedactor, type Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import {
  attemptPaths,
  makeAttemptFolder,
  preparedEvents,
  readAttemptState,
  readPrepared,
  requireAttemptFolder,
  writeMeta,
} from "./attempt-folder.ts";
import { type AttemptKinds, emptyResult } from "./kind.ts";
import type { LifecycleEvent, StepRequest, StepResult } from "./step-contract.ts";
import { WorkerHost } from "./wrapper.ts";
import type { OwnerMessage, WrapperMessage } from "./wrapper-messages.ts";

/**
 * One step of a workflow by hand, without a run: the contract that workers do attempts by. The request names a folder,
 * into which everything about the attempt is written; the result is what stands in its `state.json`.
 */

/** A step whose folder is made and whose request is written; nothing has been done yet. */
export type PreparedStep = Omit<StepResult, "outcome" | "attemptOutcome" | "error" | "failureKind"> & {
  outcome: "prepared";
  attemptOutcome: null;
  error: null;
  failureKind: null;
};

/**
 * Makes the attempt's folder, its `meta.json`, and the first lines of its `worker.log`. Repeating it changes nothing.
 * Throws a UserError for a folder that is not absolute, else the system's error.
 */
export async function prepareStep(
  { files, clock }: Pick<World, "files" | "clock">,
  request: StepRequest,
): Promise<PreparedStep> {
  requireAttemptFolder(request);
  const folder = request.runtime.attemptFolder;
  await makeAttemptFolder(files, folder);
  await writeMeta(files, request);
  const at = new Date(clock.now()).toISOString();
  const { worker, stdout, stderr } = attemptPaths(folder);
  const lifecycleEvents = await writePrepared(files, folder, preparedEvents(request.attempt, at));
  const { taskId, stepId, runId, attempt, workerKind } = request;
  const { tokens, costUsd, usage, hostRetries } = emptyResult;
  const noCounts = {
    lifecycleEventCount: lifecycleEvents.length,
    stdoutChunkCount: 0,
    stderrChunkCount: 0,
    checkpointCount: 0,
  };
  return {
    ...{ ok: false, outcome: "prepared", attemptOutcome: null, error: null, failureKind: null },
    ...{
      summary: "",
      needsHuman: false,
      blocked: false,
      suggestedFollowup: null,
      artifacts: [],
      changes: null,
      checkpoints: [],
      checkpoint: null,
    },
    ...{ taskId, stepId, runId, attempt, workerKind, startedAt: at, finishedAt: at, durationMs: 0 },
    metadata: { workerId: "", pid: 0, model: null, exitCode: null },
    state: { status: "prepared", lastEventSeq: lifecycleEvents.length, checkpointSeq: 0 },
    logSummary: { stdoutBytes: 0, stderrBytes: 0, cut: false, droppedWrites: 0 },
    logPaths: { worker, stdout, stderr },
    lifecycleEvents,
    metrics: { durationMs: 0, ...noCounts, tokens, costUsd, usage, hostRetries },
  };
}

/** Those that stand there, whoever wrote them. */
async function writePrepared(files: World["files"], folder: string, events: readonly LifecycleEvent[]) {
  const text = events.map((event) => `${JSON.stringify(event)}\n`).join("");
  try {
    await files.writeNew(attemptPaths(folder).worker, text);
    return events;
  } catch (error) {
    if (codeOf(error) !== "EEXIST") throw error;
  }
  const there = await readPrepared(files, folder);
  return there.length > 0 ? there : events;
}

export interface RunStepOptions {
  /** Names this executor in the records; unique among all that may be given this attempt. */
  workerId: string;
  /** By the request's `workerKind`: ours (`createShellKind`, …) and own ones, by a name of their own. */
  kinds: AttemptKinds;
  /** Masks what is told of the attempt; unless given, what is secret by its shape or its name in `env`. */
  redactor?: Redactor;
  /** Cancels the attempt, whose result then says so. */
  signal?: AbortSignal;
}

/**
 * Does one attempt in this process, with everything a worker does: claim, time limit, heartbeat, logs, `verify`, the
 * end of what it started, `state.json`. Resolves with the result, whatever it is. Throws a UserError when the attempt
 * could not be begun, as when another worker has it or its folder's path is not absolute.
 */
export async function runStep(world: World, request: StepRequest, options: RunStepOptions): Promise<StepResult> {
  requireAttemptFolder(request);
  const { workerId, kinds, signal } = options;
  const redactor = options.redactor ?? createRedactor({ secretValues: collectSecretValues(request.runtime.env) });
  let refused: string | null = null;
  const host = new WorkerHost(
    world,
    {
      redactor: Promise.resolve(redactor),
      tell: (message: WrapperMessage) => {
        if (message.type === "ended") refused = message.refused;
      },
      // a process of somebody else's keeps its environment, folder and streams
      enter: () => () => undefined,
      // one that can't go on in a worker ends its process; here its caller goes on
      exit: () => undefined,
    },
    kinds,
    request.runtime.worktreePath,
    { add: async () => undefined },
  );
  const cancel: OwnerMessage = { type: "cancel", reason: "cancelled" };
  const onAbort = () => void host.take(cancel);
  signal?.addEventListener("abort", onAbort, { once: true });
  const done = host.take({ type: "attempt", request, workerId });
  if (signal?.aborted) onAbort();
  await done;
  signal?.removeEventListener("abort", onAbort);
  const state = await readAttemptState(world.files, request.runtime.attemptFolder);
  if (refused !== null || state?.status !== "ended")
    throw new UserError("step-refused", `The step could not be begun: ${refused ?? "its end was not recorded"}.`);
  return state.result;
}
