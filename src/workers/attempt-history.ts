import { basename, join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import type { StepRequest, StepResult } from "./step-contract.ts";

const BYTES_MAX = 64 * 1024 * 1024;
/** Full files that are kept beside the one that is written. */
const FULL_FILES_MAX = 3;
const FULL_FILE = /^attempts-\d+-\d+\.jsonl$/;
const ERROR_CHARS_MAX = 200;
const RETRYABLE_EXITS: ReadonlySet<number | null> = new Set([124, 137, 143, 255]);

/**
 * `<agentDir>/crew/metrics/attempts.jsonl`: a line for each attempt whose end is on record, written by its worker, so
 * that it is there when nobody watches. One write for a line; a full file is renamed, and the oldest of them removed.
 */
export class AttemptHistory {
  readonly #world: Pick<World, "clock" | "files" | "log" | "processes">;
  readonly #folder: string;
  readonly #redactor: Promise<Redactor>;

  constructor(
    world: Pick<World, "clock" | "files" | "log" | "processes">,
    agentDir: string,
    redactor: Promise<Redactor>,
  ) {
    this.#world = world;
    this.#folder = join(agentDir, "crew", "metrics");
    this.#redactor = redactor;
  }

  /** Never rejects: what can't be written is told to the log. */
  async add(step: StepResult, { runtime }: StepRequest): Promise<void> {
    const { files, log } = this.#world;
    const path = join(this.#folder, "attempts.jsonl");
    try {
      const [{ text }] = await Promise.all([this.#redactor, files.makeFolder(this.#folder)]);
      if ((files.factsNow(path)?.bytes ?? 0) >= BYTES_MAX) await this.#putAway(path);
      const handle = files.openLines(path);
      try {
        handle.write(`${JSON.stringify(lineOf(step, basename(runtime.repoRoot), text))}\n`);
      } finally {
        handle.close();
      }
    } catch (error) {
      log.warn("the attempt is missing in attempts.jsonl", { path, error: messageOf(error) });
    }
  }

  /** Several may do so at once: each name is given once, so that none replaces what another has put away. */
  async #putAway(path: string): Promise<void> {
    const { clock, files, processes } = this.#world;
    await files.rename(path, join(this.#folder, `attempts-${clock.now()}-${processes.self().pid}.jsonl`));
    const full = (await files.list(this.#folder)).filter((name) => FULL_FILE.test(name));
    for (const name of full.slice(0, -FULL_FILES_MAX)) await files.remove(join(this.#folder, name));
  }
}

function lineOf(step: StepResult, project: string, redact: (text: string) => string) {
  const { exitCode, model } = step.metadata;
  const { input, output, cacheRead, cacheWrite } = step.metrics.tokens;
  return {
    v: 1,
    created_at: step.finishedAt,
    run_id: step.runId,
    task_id: step.taskId,
    attempt: step.attempt,
    project: redact(project),
    worker_kind: step.workerKind,
    model: redact(model ?? "none"),
    outcome: step.attemptOutcome,
    duration_seconds: step.durationMs / 1000,
    exit_code: exitCode,
    tokens: input + output + cacheRead + cacheWrite,
    cost_usd: step.metrics.costUsd,
    error: step.error && [...redact(step.error.message)].slice(0, ERROR_CHARS_MAX).join(""),
    retryable: RETRYABLE_EXITS.has(exitCode),
  };
}
