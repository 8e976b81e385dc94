import { dirname } from "node:path";
import type { RunOwner } from "../events/crew-event.ts";
import { DeadLetters } from "../store/dead-letters.ts";
import { displayPath, runPaths, runsFolder } from "../store/layout.ts";
import { RunStore } from "../store/run-store.ts";
import { TaskMetrics, type Unreadable } from "../store/task-metrics.ts";
import { codeOf, messageOf, UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { RUNS_COMPARED_MAX, regressionsIn, type WorkflowSample, workflowSampleOf } from "./regressions.ts";
import { errorJson, lasted, type Redact, type RunRow, runRow, said, taskJson } from "./run-json.ts";

/** Newest first; what lies further back is not looked at for one answer. */
const LOOKED_AT_MAX = 1000;
const LISTED_DEFAULT = 100;
const LISTED_MAX = 500;
const STATUSES: readonly string[] = ["queued", "running", "completed", "failed", "cancelled"];

interface KeptRow {
  row: RunRow;
  owner: RunOwner | null;
  sample: WorkflowSample;
  /** Of the log the row was made from. */
  bytes: number;
  modifiedMs: number;
}

/** Questions about what is kept of one project. They read what has changed since the last one. */
export class RunAnswers {
  readonly tasks: TaskMetrics;
  readonly #world: World;
  readonly #store: RunStore;
  readonly #letters: DeadLetters;
  readonly #redact: Redact;
  readonly #kept = new Map<string, KeptRow>();

  constructor(world: World, crewRoot: string, redact: Redact) {
    this.#world = world;
    this.#store = new RunStore(world, crewRoot);
    this.#letters = new DeadLetters(world, crewRoot);
    this.tasks = new TaskMetrics(world, crewRoot);
    this.#redact = redact;
  }

  /** Newest first; `more` when there are others. `?limit=` (100 unless given), `?status=`. Throws a UserError. */
  async list(query: URLSearchParams) {
    const limit = limitOf(query.get("limit"));
    const status = query.get("status");
    if (status !== null && !STATUSES.includes(status))
      throw new UserError("bad-status", `No run is ${cited(status)}: use one of ${STATUSES.join(", ")}.`);
    const { ids, failure } = await this.#ids();
    const runs: ReturnType<RunAnswers["withNow"]>[] = [];
    const unreadable = failure.map(({ path, code }) => {
      return { id: "all runs", error: `${displayPath(path, dirname(this.#store.crewRoot))} can't be read (${code}).` };
    });
    let looked = 0;
    for (const id of ids.slice(0, LOOKED_AT_MAX)) {
      if (runs.length + unreadable.length >= limit) break;
      looked++;
      const kept = await this.#rowOf(id).catch((error: unknown) => said(messageOf(error), this.#redact));
      if (typeof kept === "string") unreadable.push({ id, error: kept });
      else if (status === null || kept.row.status === status) runs.push(this.withNow(kept));
    }
    return { runs, more: looked < ids.length, unreadable };
  }

  /** The folder of the runs, when it can't be read. */
  async unreadable(): Promise<Unreadable[]> {
    return (await this.#ids()).failure;
  }

  /** A sentence for each workflow whose newest runs are worse than those before. */
  async regressions(): Promise<string[]> {
    const samples: WorkflowSample[] = [];
    for (const id of (await this.#ids()).ids.slice(0, RUNS_COMPARED_MAX)) {
      const kept = await this.#rowOf(id).catch(() => null);
      if (kept) samples.push(kept.sample);
    }
    return regressionsIn(samples).map((sentence) => said(sentence, this.#redact));
  }

  /** With its tasks, their attempts and its dead letters. Throws a UserError when there is none, or it is damaged. */
  async one(id: string) {
    const view = await this.#store.view(id);
    const { letters } = await this.#letters.ofRun(id);
    const specs = new Map(view.manifest.tasks.map((spec) => [spec.taskId, spec]));
    const now = this.#world.clock.now();
    return {
      ...this.withNow({ row: runRow(view, this.#redact), owner: view.state.owner }),
      tasks: view.state.tasks.map((task) => taskJson(task, specs.get(task.taskId), now, this.#redact)),
      deadLetters: letters.map((letter) => this.#letter(letter)),
    };
  }

  /** Newest first, those dealt with too. `?limit=` as for runs. */
  async deadLetters(query: URLSearchParams) {
    const limit = limitOf(query.get("limit"));
    if ((await this.unreadable()).length > 0) return { deadLetters: [], more: false, badLines: 0 };
    const { letters, bad, more } = await this.#letters.list({ limit });
    return { deadLetters: letters.map((letter) => this.#letter(letter)), more, badLines: bad };
  }

  /** With what changes by itself: time goes on, and who drives it may be `dead`. */
  withNow({ row, owner }: Pick<KeptRow, "row" | "owner">) {
    const { clock, processes } = this.#world;
    const driver = owner && { pid: owner.pid, liveness: processes.alive(owner) };
    return { ...row, durationMs: lasted(row.startedAt, row.endedAt, clock.now()), owner: driver };
  }

  /** Newest first. */
  async #ids(): Promise<{ ids: string[]; failure: Unreadable[] }> {
    try {
      return { ids: await this.#store.ids(), failure: [] };
    } catch (error) {
      if (codeOf(error) === "") throw error;
      return { ids: [], failure: [{ path: runsFolder(this.#store.crewRoot), code: codeOf(error) }] };
    }
  }

  async #rowOf(id: string): Promise<KeptRow> {
    const { events } = runPaths(this.#store.crewRoot, id);
    // before it is read: what is written meanwhile is read the next time
    const { bytes = 0, modifiedMs = 0 } = this.#world.files.factsNow(events) ?? {};
    const known = this.#kept.get(id);
    if (known && bytes > 0 && known.bytes === bytes && known.modifiedMs === modifiedMs) return known;
    const view = await this.#store.view(id);
    const [row, sample] = [runRow(view, this.#redact), workflowSampleOf(view)];
    const kept = { row, sample, owner: view.state.owner, bytes, modifiedMs };
    if (this.#kept.size >= 2 * LOOKED_AT_MAX) this.#kept.clear();
    this.#kept.set(id, kept);
    return kept;
  }

  #letter({ id, runId, taskId, reason, attempts, status, timestamp, lastError }: Letter) {
    const lastErrorSaid = errorJson(lastError ?? null, this.#redact);
    return { id, runId, taskId, reason, attempts, status, timestamp, lastError: lastErrorSaid };
  }
}

type Letter = Awaited<ReturnType<DeadLetters["list"]>>["letters"][number];

/** Throws a UserError for what is no count. */
function limitOf(text: string | null): number {
  if (text === null) return LISTED_DEFAULT;
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= LISTED_MAX) return Number(text);
  throw new UserError("bad-limit", `${cited(text)} is no limit: use a whole number from 1 to ${LISTED_MAX}.`);
}

function cited(text: string): string {
  return JSON.stringify(text.slice(0, 40));
}
