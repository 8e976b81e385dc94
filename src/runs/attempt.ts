import { traceparentOf } from "../events/correlation.ts";
import type { CrewEventFields, NewEvent, TokenCounts } from "../events/crew-event.ts";
import { LogFailed } from "../events/publisher.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { keepEnds } from "../system/safe-text.ts";
import { workEndOf } from "./endings.ts";
import { type AttemptProgress, type AttemptReport, type KeptCheckpoint, NO_ROOM } from "./execute.ts";
import type { TaskSpec } from "./manifest.ts";
import type { RunLoopParts } from "./run-loop.ts";
import { type AttemptRecord, taskOf } from "./run-state.ts";
import { mailOf } from "./task-message.ts";
import { commandValues, renderTaskPrompt } from "./task-prompt.ts";
import { totalTokens } from "./usage.ts";
import { beginsAt, inheritedCommits, inheritedFiles, withBranches, workNotes, wroteAlone } from "./work-trees.ts";

const ERROR_CHARS_MAX = 2000;
const SUMMARY_CHARS_MAX = 16_000;
const PROGRESS_CHARS_MAX = 500;
const TOOL_CHARS_MAX = 200;
/** A provider's answer names its model, at any length. */
const MODEL_CHARS_MAX = 200;

/**
 * The next attempt of a running task, told in events; the one under way when a former owner left it so. Resolves when
 * its end is in the log.
 */
export async function runAttempt(
  parts: RunLoopParts,
  spec: TaskSpec,
  attempts: readonly AttemptRecord[],
  signal: AbortSignal,
): Promise<void> {
  const { run, engine } = parts;
  const last = attempts.at(-1);
  const open = last?.status === "running" ? last : null;
  const attempt = open?.attempt ?? attempts.length + 1;
  const workerId = open?.workerId ?? parts.newWorkerId();
  const place = { taskId: spec.taskId, attempt };
  // the first choice; which one answers, the attempt's end tells
  const [model] = spec.agent?.models ?? [];
  const first = model === undefined ? {} : { model: model.slice(0, MODEL_CHARS_MAX) };
  const named = { workerId, workerKind: spec.kind, ...first };
  const begin = { type: "crew.task.attempt_started" as const, ...place, ...named };
  const { startedAt } = open ?? { startedAt: (await run.publisher.publish(begin)).ts };
  const files = inheritedFiles(spec, run.state);
  const order = {
    manifest: run.manifest,
    task: {
      ...spec,
      command: withBranches(run.manifest, spec.command, run.state),
      verify: withBranches(run.manifest, spec.verify, run.state),
    },
    attempt,
    prompt: `${renderTaskPrompt(run.manifest, spec, run.state)}${workNotes(run.manifest, spec, run.state)}`,
    values: commandValues(run.manifest, spec, run.state),
    folder: parts.attemptFolder(spec.taskId, attempt),
    workFolder: run.manifest.cwd,
    commits: inheritedCommits(run.manifest, spec, run.state),
    files,
    resumeFromSeq: beginsAt(run.manifest, spec, attempt, run.state),
    traceparent: traceparentOf({ runId: run.manifest.runId, ...place }),
  };
  // one that is only to be ended reads nothing any more
  if (!signal.aborted)
    await parts.putMail(order.folder, mailOf(run.state, spec.taskId)).catch((error: unknown) => {
      throw new LogFailed(`the attempt's folder can't be written: ${messageOf(error)}`, { cause: error });
    });
  const tell = tellingOf(parts, spec, attempt);
  const executed = parts.correlation.withCorrelation({ runId: run.manifest.runId, ...place }, () =>
    engine.execute(order, workerId, tell, signal),
  );
  const report = redacted(await executed, parts.redact);
  await tell.told();
  // its run waits for room, as it does when its log can't be written, and then begins it
  if (report.error?.kind === NO_ROOM) throw new LogFailed(report.error.message);
  // an attempt that no worker took has none to tell of
  if (tell.spawnedOnce())
    await run.publisher.publish({ type: "crew.subagent.completed", ...place, workerId, ...endOf(report) });
  for (const checkpoint of report.checkpoints) tell.checkpoint(checkpoint);
  await tell.told();
  const measured = wroteAlone(run.manifest, spec, attempt, run.state) ? report : { ...report, changes: null };
  const kept = await withArtifacts(parts, measured);
  const end = finished(kept, startedAt, parts.clock.now());
  await run.publisher.publish({ type: "crew.task.attempt_finished", ...place, ...end });
}

/** Those of the attempt that ends its task are in the run's folder before the end is told. */
async function withArtifacts(parts: RunLoopParts, report: AttemptReport): Promise<AttemptReport> {
  if (report.outcome !== "completed" || report.artifacts.length === 0) return { ...report, artifacts: [] };
  try {
    return { ...report, artifacts: await parts.keepArtifacts(report.artifacts) };
  } catch (error) {
    // what was handed over is not there any more, however long its run waits; a full disk is waited for
    if (!(error instanceof UserError))
      throw new LogFailed(`the run's artifacts can't be written: ${messageOf(error)}`, { cause: error });
    const told = { kind: error.code, message: parts.redact(error.message).slice(0, ERROR_CHARS_MAX) };
    return { ...report, outcome: "failed", failureKind: "transient", error: told, artifacts: [], commit: null };
  }
}

function endOf(report: AttemptReport) {
  return { status: report.outcome, durationMs: report.durationMs };
}

/** Hooks are synchronous; what they publish is lazy, and awaited before the attempt's end is told. */
function tellingOf({ run, redact }: RunLoopParts, spec: TaskSpec, attempt: number) {
  const place = { taskId: spec.taskId, attempt };
  let pending: Promise<unknown> = Promise.resolve();
  let spawned = false;
  // a former owner may have told some of this attempt
  let checkpointSeq = taskOf(run.state, spec.taskId)?.checkpointSeq ?? 0;
  function tell(event: NewEvent): void {
    pending = Promise.all([pending, run.publisher.publish(event)]);
    // heard again at the attempt's end; until then nobody awaits it, and an unheard rejection would end Pi
    pending.catch(() => undefined);
  }
  return {
    spawned({ workerId, pid, adopted }: { workerId: string; pid: number; adopted: boolean }): void {
      spawned = true;
      const type = adopted ? ("crew.subagent.adopted" as const) : ("crew.subagent.spawned" as const);
      tell({ type, ...place, workerId, pid, workerKind: spec.kind });
    },
    progress(progress: AttemptProgress): void {
      const text = progress.text === undefined ? {} : { text: redact(progress.text).slice(0, PROGRESS_CHARS_MAX) };
      // a model may name a tool that does not exist, at any length
      const tool = progress.tool === undefined ? {} : { tool: redact(progress.tool).slice(0, TOOL_CHARS_MAX) };
      tell({ type: "crew.task.progress", ...place, ...progress, ...text, ...tool });
    },
    used(tokens: TokenCounts, costUsd: number): void {
      tell({ type: "crew.task.progress", ...place, used: { tokens: totalTokens(tokens), costUsd } });
    },
    checkpoint(checkpoint: KeptCheckpoint): void {
      if (checkpoint.checkpointSeq <= checkpointSeq) return;
      checkpointSeq = checkpoint.checkpointSeq;
      tell({ type: "crew.task.checkpoint", ...place, ...checkpoint });
    },
    spawnedOnce: () => spawned,
    told: async (): Promise<void> => {
      await pending;
    },
  };
}

function redacted(report: AttemptReport, redact: (text: string) => string): AttemptReport {
  return {
    ...report,
    model: report.model?.slice(0, MODEL_CHARS_MAX) ?? null,
    usage: report.usage.map((used) => ({ ...used, model: used.model.slice(0, MODEL_CHARS_MAX) })),
    summary: keepEnds(redact(report.summary), SUMMARY_CHARS_MAX),
    error: report.error && {
      kind: report.error.kind,
      message: redact(report.error.message).slice(0, ERROR_CHARS_MAX),
    },
  };
}

function finished(
  report: AttemptReport,
  startedAt: number,
  now: number,
): CrewEventFields["crew.task.attempt_finished"] {
  return {
    outcome: report.outcome,
    durationMs: report.durationMs,
    ...(report.finishedAt === null ? {} : { finishedAt: workEndOf(report.finishedAt, startedAt, now) }),
    tokens: report.tokens,
    costUsd: report.costUsd,
    ...(report.model === null ? {} : { model: report.model }),
    ...(report.usage.length > 1 ? { usage: [...report.usage] } : {}),
    ...(report.hostRetries > 0 ? { hostRetries: report.hostRetries } : {}),
    ...(report.exitCode === null ? {} : { exitCode: report.exitCode }),
    ...(report.failureKind === null ? {} : { failureKind: report.failureKind }),
    ...(report.error === null ? {} : { error: report.error }),
    ...(report.summary === "" ? {} : { summary: report.summary }),
    ...(report.artifacts.length === 0 ? {} : { artifacts: [...report.artifacts] }),
    ...(report.changes === null ? {} : { changes: report.changes }),
    ...(report.commit === null ? {} : { commit: report.commit }),
  };
}
