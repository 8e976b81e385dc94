import { isTerminal, type RunState } from "../runs/run-state.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import { displayPath } from "../store/layout.ts";
import { messageOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { DashboardView } from "../views/dashboard-view.ts";
import type { RunPicture } from "../views/run-summary.ts";
import type { BackgroundRuns } from "./background-runs.ts";
import { pictureOf } from "./run-report.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import type { Telemetry } from "./telemetry.ts";

const RUNS_MAX = 50;
const LETTERS_MAX = 100;
/** Between two looks at runs that another process drives and this session is not told of. */
const FOREIGN_MS = 2000;

/** The runs, dead letters and metrics that the dashboard shows, read ahead: a frame is drawn from memory alone. */
export class DashboardData {
  letters: readonly DeadLetter[] = [];
  readonly #session: Session;
  readonly #service: RunService;
  readonly #background: BackgroundRuns;
  /** Null when nothing is counted. */
  readonly #telemetry: Telemetry | null;
  #kept: readonly RunPicture[] = [];
  #turn: Promise<void> = Promise.resolve();
  /** Readings that are not over. */
  #loads = 0;
  #loadedAt = 0;
  #loadedFor = "";

  static async open(session: Session): Promise<DashboardData> {
    const [service, background, telemetry, { config }] = await Promise.all([
      session.runs(),
      session.background(),
      session.telemetry(),
      session.config(),
    ]);
    const data = new DashboardData(session, service, background, config.observability.enabled ? telemetry : null);
    await data.load();
    return data;
  }

  private constructor(session: Session, service: RunService, background: BackgroundRuns, telemetry: Telemetry | null) {
    this.#session = session;
    this.#service = service;
    this.#background = background;
    this.#telemetry = telemetry;
  }

  get crewRoot(): string {
    return this.#service.store.crewRoot;
  }

  /** Newest first; those under way as they are at this moment. */
  runs(): readonly RunPicture[] {
    const live = new Map(this.#live().map((shown) => [shown.run.manifest.runId, shown]));
    const known = new Set(this.#kept.map(({ manifest }) => manifest.runId));
    const fresh = [...live.values()]
      .filter(({ run }) => !known.has(run.manifest.runId))
      .map((one) => this.#pictured(one));
    // what ends between two looks is shown as it was last known here
    this.#kept = [...fresh.reverse(), ...this.#kept].map((run) => {
      const shown = live.get(run.manifest.runId);
      return shown ? { ...run, state: shown.run.state, standstill: shown.standstill } : run;
    });
    return this.#kept;
  }

  metrics(): DashboardView["metrics"] {
    const telemetry = this.#telemetry;
    return telemetry && { snapshot: telemetry.registry.snapshot(), history: telemetry.history() };
  }

  /** Of a run's workers, as the metrics have it: milliseconds by task. */
  silences(runId: string): Map<string, number> {
    const gauge = this.#telemetry?.registry.get("crew.heartbeat.staleness_ms")?.snapshot();
    const series = gauge?.kind === "gauge" ? gauge.series : [];
    return new Map(
      series
        .filter(({ labels }) => labels["run_id"] === runId)
        .map(({ labels, value }) => [labels["task_id"] ?? "", value]),
    );
  }

  driverOf({ owner, status, releasedBy }: RunState): string {
    const { processes } = this.#session.world;
    if (isTerminal(status)) return "nobody: the run has ended";
    if (owner === null) return releasedBy ? `let go of by pid ${releasedBy.pid}; /team-resume takes it up` : "nobody";
    if (isSameProcess(owner, processes.self())) return `this Pi, pid ${owner.pid}`;
    const { liveness, stopped } = processes.look(owner);
    const how = stopped ? "stopped" : { alive: "alive", dead: "gone", unknown: "not known to be alive" }[liveness];
    return `another process, pid ${owner.pid}, ${how}`;
  }

  /** Whether something goes on that no event of this session tells of, such as the time. */
  get moving(): boolean {
    return this.#kept.some(({ state }) => !isTerminal(state.status));
  }

  /** Reads again what may have changed on disk since; `loaded` when it has been read. */
  look(loaded: () => void): void {
    const live = this.#live();
    const seen = live.map(
      ({ run: { state } }) => `${state.runId} ${state.tasks.map((it) => it.deadLetters.length).join("")}`,
    );
    const ids = new Set(live.map(({ run }) => run.manifest.runId));
    const foreign = this.#kept.some(({ state }) => !isTerminal(state.status) && !ids.has(state.runId));
    const due = foreign && this.#session.world.clock.monotonicMs() - this.#loadedAt >= FOREIGN_MS;
    if (this.#loads > 0 || (seen.join() === this.#loadedFor && !due)) return;
    this.#loadedFor = seen.join();
    void this.load().then(loaded);
  }

  /** Reads what is there now, after a reading under way. Never rejects: what can't be read is shown as it was. */
  load(): Promise<void> {
    this.#loads++;
    this.#turn = this.#turn
      .then(() => this.#load())
      .catch((error: unknown) => {
        this.#session.world.log.warn("the dashboard could not be filled", { error: messageOf(error) });
      })
      .finally(() => {
        this.#loads--;
      });
    return this.#turn;
  }

  async #load(): Promise<void> {
    const { cwd, world } = this.#session;
    const views = await this.#service.views(RUNS_MAX);
    this.#kept = views.map((view) => pictureOf(view, cwd, world.processes, this.#live()));
    this.letters = (await this.#service.deadLetters.list({ limit: LETTERS_MAX, openOnly: true })).letters;
    this.#loadedAt = this.#session.world.clock.monotonicMs();
  }

  #live(): readonly ShownRun[] {
    return [...this.#service.active, ...this.#background.shown];
  }

  #pictured({ run: { manifest, state, health, folder }, standstill }: ShownRun): RunPicture {
    const folderShown = displayPath(folder, this.#session.cwd);
    return { manifest, state, health, standstill, folder: folderShown };
  }
}
