/**
 * Which runs and tasks are at work in this session, so that the two gauges are right whatever was missed: a task that
 * ends without having started here changes nothing, and an ended or released run takes its tasks with it.
 */
export class ActiveWork {
  readonly #runs = new Set<string>();
  readonly #tasks = new Map<string, Set<string>>();
  readonly #changed: (runs: number, tasks: number) => void;

  constructor(changed: (runs: number, tasks: number) => void) {
    this.#changed = changed;
  }

  startRun(runId: string): void {
    this.#runs.add(runId);
    this.#tell();
  }

  /** Ended, released or interrupted: not at work here any more. */
  endRun(runId: string): void {
    this.#runs.delete(runId);
    this.#tasks.delete(runId);
    this.#tell();
  }

  startTask(runId: string, taskId: string | undefined): void {
    if (taskId === undefined) return;
    const tasks = this.#tasks.get(runId) ?? new Set();
    this.#tasks.set(runId, tasks.add(taskId));
    this.#tell();
  }

  endTask(runId: string, taskId: string | undefined): void {
    const tasks = this.#tasks.get(runId);
    if (tasks === undefined || taskId === undefined) return;
    tasks.delete(taskId);
    if (tasks.size === 0) this.#tasks.delete(runId);
    this.#tell();
  }

  #tell(): void {
    let tasks = 0;
    for (const ofRun of this.#tasks.values()) tasks += ofRun.size;
    this.#changed(this.#runs.size, tasks);
  }
}
