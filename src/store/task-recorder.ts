import { join } from "node:path";
import type { CrewEvent } from "../events/crew-event.ts";
import { applyEvent } from "../runs/apply-event.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { initialRunState, isTerminal, type RunState } from "../runs/run-state.ts";
import { codeOf, messageOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { Processes, ProcessIdentity, World } from "../system/world.ts";
import { runPaths } from "./layout.ts";
import { RunLogReader } from "./run-log-reader.ts";
import { keysSince } from "./task-keys.ts";
import { TaskLog } from "./task-log.ts";
import { RAW_DAYS } from "./task-metrics.ts";
import { type TaskEndEvent, type TaskRecord, taskRecordOf } from "./task-record.ts";

/** On its way to `recording-<n>.json` or `recorded.json`. */
export const UNFINISHED_MARK = /^\.record(?:ing-\d+|ed)\.json\..+\.tmp$/;
const DAY_MS = 86_400_000;

interface TaskRecorderParts {
  world: Pick<World, "clock" | "files" | "log"> & { processes: Pick<Processes, "self" | "alive"> };
  crewRoot: string;
  redact: (text: string) => string;
}

/**
 * Writes one record for each task that was completed or has failed: at once, by the process that drives the run; and
 * for what that process left undone, by the next owner before it drives on (`catchUp`), or by any session once the run
 * has ended. The records themselves tell which tasks have theirs, so that nothing is lost or doubled wherever a process
 * is killed.
 */
export class TaskRecorder {
  readonly #parts: TaskRecorderParts;
  readonly #log: TaskLog;
  /** Runs whose records up to now this process knows. */
  readonly #known = new Set<string>();
  readonly #written = new Set<string>();
  readonly #exits = new Map<string, number | null>();
  readonly #failed = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: TaskRecorderParts) {
    this.#parts = parts;
    this.#log = new TaskLog(parts.world, parts.crewRoot);
  }

  /** To be called before the first event is told. */
  prepare(): Promise<void> {
    return this.#log.prepare();
  }

  /**
   * For each event of a run this process drives, after the fold. Never throws: what can't be written is told to the
   * log, and written when the run is caught up with.
   */
  onEvent(event: CrewEvent, manifest: RunManifest, state: RunState): void {
    const { runId } = event;
    if (event.type === "crew.task.attempt_finished") this.#exits.set(keyOf(event), event.exitCode ?? null);
    if (isTaskEnd(event)) {
      // the first owner of a run is the only one there was
      if (event.epoch === 1 || this.#known.has(runId)) this.#write(this.#recordOf(event, manifest, state));
      else this.#failed.add(runId);
    }
    if (!isTerminal(state.status) || !event.type.startsWith("crew.run.")) return;
    const complete = !this.#failed.has(runId);
    this.#forget(runId);
    const finish = complete ? this.#inTurn(() => this.#mark(runId, event.seq)) : this.catchUp(manifest);
    finish.catch((error: unknown) => this.#warn(runId, error));
  }

  /**
   * Writes the records a former owner of the run left undone. To be awaited by who has just become the owner, before
   * it drives on; and by a session at its start for each ended run of `unrecorded`. Resolves to how many were written;
   * null when another living process is at it.
   */
  catchUp(manifest: RunManifest): Promise<number | null> {
    return this.#inTurn(() => this.#catchUp(manifest));
  }

  /** Of `runIds`, those that ended, or may have, without their records being known to be complete. */
  unrecorded(runIds: readonly string[]): string[] {
    return runIds.filter((runId) => this.#parts.world.files.factsNow(this.#markPath(runId)) === null);
  }

  /** Resolves when nothing is under way any more. */
  async dispose(): Promise<void> {
    await this.#turn;
    this.#log.close();
  }

  async #catchUp(manifest: RunManifest): Promise<number | null> {
    const { runId } = manifest;
    if (!(await this.#lock(runId))) return null;
    const { clock, files } = this.#parts.world;
    const missing: TaskRecord[] = [];
    let state = initialRunState(manifest);
    let seq = 0;
    for (const event of await new RunLogReader(files, runPaths(this.#parts.crewRoot, runId).events).readNew()) {
      state = applyEvent(state, event);
      seq = event.seq;
      if (event.type === "crew.task.attempt_finished") this.#exits.set(keyOf(event), event.exitCode ?? null);
      // older ones were counted, or never will be: their day is closed for good
      if (isTaskEnd(event) && clock.now() - event.ts < RAW_DAYS * DAY_MS)
        missing.push(this.#recordOf(event, manifest, state));
    }
    const written = await this.#writeMissing(runId, missing);
    this.#known.add(runId);
    if (!isTerminal(state.status)) return written;
    this.#forget(runId);
    await this.#mark(runId, seq);
    return written;
  }

  async #writeMissing(runId: string, records: readonly TaskRecord[]): Promise<number> {
    const { crewRoot, world } = this.#parts;
    if (records.length === 0) return 0;
    await this.#log.prepare();
    for (const date of new Set(records.map(({ created_at }) => created_at.slice(0, 10)))) this.#log.mend(date);
    const first = records.reduce((min, { created_at }) => (created_at < min ? created_at : min), "9999");
    const there = await keysSince(world.files, crewRoot, first.slice(0, 10), runId);
    const undone = records.filter(({ run_id, task_id }) => !there.has(`${run_id}\n${task_id}`));
    for (const { run_id, task_id } of records) this.#written.add(`${run_id}\n${task_id}`);
    for (const record of undone) {
      this.#written.delete(`${record.run_id}\n${record.task_id}`);
      this.#write(record, true);
    }
    return undone.length;
  }

  #recordOf(event: TaskEndEvent, manifest: RunManifest, state: RunState): TaskRecord {
    const { world, redact } = this.#parts;
    const key = keyOf(event);
    return taskRecordOf(event, manifest, state, {
      node: world.processes.self().hostId,
      redact,
      exitCode: this.#exits.get(key) ?? null,
    });
  }

  #write(record: TaskRecord, mayThrow = false): void {
    const key = `${record.run_id}\n${record.task_id}`;
    if (this.#written.has(key)) return;
    try {
      this.#log.append(record);
      this.#written.add(key);
    } catch (error) {
      this.#failed.add(record.run_id);
      if (mayThrow) throw error;
      this.#warn(record.run_id, error);
    }
  }

  #forget(runId: string): void {
    this.#failed.delete(runId);
    for (const kept of [this.#written, this.#exits])
      for (const key of kept.keys()) if (key.startsWith(`${runId}\n`)) kept.delete(key);
  }

  /** And removes what others that came to do this had begun to write as they were killed. */
  async #mark(runId: string, seq: number): Promise<void> {
    const { crewRoot, world } = this.#parts;
    const { folder } = runPaths(crewRoot, runId);
    try {
      await world.files.writeAtomic(this.#markPath(runId), `${JSON.stringify({ v: 1, seq })}\n`);
    } catch (error) {
      // another one has set it meanwhile, and cleared up
      if (world.files.factsNow(this.#markPath(runId)) === null) throw error;
    }
    for (const name of await world.files.list(folder))
      if (UNFINISHED_MARK.test(name)) await world.files.remove(join(folder, name)).catch(() => undefined);
  }

  /**
   * The right to write for a run. A holder is followed by the next number once it is dead: numbers are never given
   * twice, so that two who find it dead at the same time can't both win.
   */
  async #lock(runId: string): Promise<boolean> {
    const { files, processes } = this.#parts.world;
    const self = processes.self();
    for (let number = 1; ; number++) {
      const path = join(runPaths(this.#parts.crewRoot, runId).folder, `recording-${number}.json`);
      const text = await files.readText(path);
      if (text === null) {
        const wrote = await this.#tryToWrite(path, `${JSON.stringify(self)}\n`);
        if (wrote !== "EEXIST") return wrote === "";
        number--;
        continue;
      }
      const holder = JSON.parse(text) as ProcessIdentity;
      if (isSameProcess(holder, self)) return true;
      if (processes.alive(holder) !== "dead") return false;
    }
  }

  /** The system's code where it did not come to that: `EEXIST`, or `ENOENT` when who has the right has cleared up. */
  async #tryToWrite(path: string, text: string): Promise<string> {
    try {
      await this.#parts.world.files.writeNew(path, text);
      return "";
    } catch (error) {
      if (["EEXIST", "ENOENT"].includes(codeOf(error))) return codeOf(error);
      throw error;
    }
  }

  #markPath(runId: string): string {
    return join(runPaths(this.#parts.crewRoot, runId).folder, "recorded.json");
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #warn(runId: string, error: unknown): void {
    this.#parts.world.log.warn("a task's metrics can't be kept yet; the next session tries again", {
      runId,
      error: messageOf(error),
    });
  }
}

function isTaskEnd(event: CrewEvent): event is TaskEndEvent {
  return event.type === "crew.task.completed" || event.type === "crew.task.failed";
}

function keyOf({ runId, taskId = "" }: CrewEvent): string {
  return `${runId}\n${taskId}`;
}
