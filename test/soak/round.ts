import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type AgentFolder, makeAgentFolder, tagVariable } from "../support/agent-folder.ts";
import { killAll, type ProcessEntry, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { addToLedger, type LedgerLine, readLedger } from "./ledger.ts";
import { judgeProject, type Verdict } from "./oracle.ts";
import { type Blow, definitionFiles, goalOf, type RoundPlan, type Target } from "./plan.ts";
import { RoundFiles } from "./round-files.ts";
import { SoakSession } from "./soak-session.ts";

/** Runs are asked for, blows fall, sessions are opened again, until every run has ended; then all is judged. */

const LOOK_MS = 4;
/** Nothing has happened for so long: the next blow falls. */
const QUIET_MS = 4000;
/** Nothing has happened for so long, and no scripted wait is that long: the run was left lying. */
const LYING_MS = 30_000;
/** Who ends a run marks its records as complete at once. */
const RECORD_MS = 500;
const ROUND_MS_MAX = 180_000;
const LEAVE_MS_MAX = 30_000;

export interface RoundReport extends Verdict {
  /** Where everything was; for the caller to remove. */
  folder: string;
  project: string;
  ledger: readonly LedgerLine[];
  blows: Blows;
  /** What sessions told as errors, and what they wrote where nobody reads. */
  complaints: string[];
}

/** How many fell. */
type Blows = Partial<Record<Target | "again", number>>;

/** Workers beat every five seconds: what is silent for longer may be gone. */
const CONFIG = {
  observability: { pollIntervalMs: 1000 },
  reliability: {
    heartbeat: { warnMs: 6000, staleMs: 7000, deadMs: 8000 },
    autoRetry: true,
    autoRecover: true,
    retryPolicy: { maxAttempts: 3, backoffMs: 100, exponentialFactor: 1 },
  },
};

export async function playRound(plan: RoundPlan): Promise<RoundReport> {
  const place = await makeAgentFolder({ files: definitionFiles(plan) });
  await writeFile(join(place.agent, "crew.json"), JSON.stringify(CONFIG));
  const round = new Round(plan, place);
  try {
    await round.play();
    await round.again();
    await round.leave();
  } finally {
    killAll(processesWithEnvironment(tagVariable, place.tag));
  }
  const { project } = place;
  const { blows, complaints } = round;
  const ledger = readLedger(round.ledger);
  const { faults, counts } = await judgeProject(project, ledger);
  return { faults: [...round.faults, ...faults], counts, folder: dirname(project), project, ledger, blows, complaints };
}

class Round {
  readonly ledger: string;
  readonly faults: string[] = [];
  readonly complaints: string[] = [];
  readonly blows: Blows = {};
  readonly #plan: RoundPlan;
  readonly #place: AgentFolder;
  readonly #sessions: SoakSession[] = [];
  readonly #files: RoundFiles;

  constructor(plan: RoundPlan, place: AgentFolder) {
    this.#plan = plan;
    this.#place = place;
    this.ledger = join(place.home, "ledger.jsonl");
    this.#files = new RoundFiles(plan, place.project, this.ledger);
  }

  async play(): Promise<void> {
    const until = performance.now() + ROUND_MS_MAX;
    await this.#open(1);
    for (const blow of this.#plan.blows) {
      const mark = this.#files.steps;
      const isDue = () => this.#files.steps - mark >= blow.afterSteps && this.#files.isAt(blow.moment);
      await this.#watch(() => isDue() || this.#files.quietMs() > QUIET_MS);
      if (this.#files.ended()) break;
      await sleep(blow.delayMs);
      await this.#strike(blow);
    }
    await this.#end(until);
  }

  /** Goes on with a run that did not complete, in one session or in two at once, of which one may be killed over it. */
  async again(): Promise<void> {
    const { again } = this.#plan;
    const runs = this.#files.unfinished();
    const runId = runs[Math.floor((again?.pick ?? 0) * runs.length)];
    if (!again || runId === undefined) return;
    const alive = () => this.#sessions.filter(({ gone }) => !gone);
    // what is on disk is known to its owner a moment later
    await sleep(RECORD_MS);
    await this.#open(Math.max(0, (again.rivals ? 2 : 1) - alive().length));
    this.blows.again = (this.blows.again ?? 0) + 1;
    const letter = this.#files.letterOf(runId);
    const [first, second] = alive().slice(0, again.rivals ? 2 : 1);
    // a rival may take another way to the same tasks
    const answers = Promise.all([first?.goOn(runId, letter), second?.goOn(runId, again.pick < 0.5 ? letter : null)]);
    if (again.killAfterMs !== null && first) {
      await sleep(again.killAfterMs);
      addToLedger(this.ledger, { kind: "kill", victim: "session", pid: first.pid });
      kill(first.pid);
      await first.exited;
      await this.#open(1);
    }
    const answered = await within(answers, ROUND_MS_MAX).catch(() => []);
    if (answered.length === 0) this.faults.push(`nobody answered who was asked to go on with run ${runId}`);
    await this.#end(performance.now() + ROUND_MS_MAX);
    const refusals = answered.filter((answer) => answer != null);
    // a killed session may not have told of what it had begun: the next one that is asked to go on does
    await sleep(RECORD_MS);
    if (again.killAfterMs !== null)
      await within(alive()[0]?.goOn(runId, letter) ?? Promise.resolve(null), ROUND_MS_MAX);
    if (again.killAfterMs === null && refusals.length === (second ? 2 : 1))
      this.faults.push(`nobody went on with run ${runId}: ${refusals.join(" ")}`);
  }

  /** Resolves when all runs have ended, or never will. */
  async #end(until: number): Promise<void> {
    for (;;) {
      await this.#watch(() => this.#files.quietMs() > LYING_MS || performance.now() > until);
      if (this.#files.ended()) return;
      this.faults.push(`nothing went on for ${LYING_MS} ms: ${this.#files.standing()}`);
      if (performance.now() > until) return;
      await this.#open(1);
    }
  }

  /** What nobody has kept a record of by now, the next session does. All quit; nothing of the round is left then. */
  async leave(): Promise<void> {
    const recorded = (limitMs: number) => waitUntil(() => !this.#files.unrecorded(), limitMs);
    await recorded(RECORD_MS)
      .catch(async () => {
        await this.#open(1);
        await recorded(LEAVE_MS_MAX);
      })
      .catch(() => this.faults.push("the next session did not keep the records of all tasks"));
    await Promise.all(this.#sessions.map((session) => this.#quit(session)));
    await waitUntil(() => this.#processes().length === 0, LEAVE_MS_MAX).catch(() => {
      for (const { pid, command } of this.#processes()) this.faults.push(`process ${pid} was left: ${command}`);
    });
  }

  /** Resolves when `holds`, or when all runs have ended. */
  async #watch(holds: () => boolean): Promise<void> {
    if (this.#files.ended()) return;
    while (!holds()) {
      if (this.#files.look() && this.#files.ended()) return;
      await sleep(LOOK_MS);
    }
  }

  async #strike(blow: Blow): Promise<void> {
    const { target } = blow;
    if (target === "quit" || target === "replace") return this.#endSession(target);
    if (target === "cancel") return this.#cancel(blow);
    const victims = this.#victims(blow);
    if (victims.length === 0) return;
    for (const { pid, victim } of victims) {
      addToLedger(this.ledger, { kind: "kill", victim, pid });
      kill(pid);
    }
    this.blows[target] = (this.blows[target] ?? 0) + 1;
    await waitUntil(() => !this.#processes().some(({ pid }) => victims.some((it) => it.pid === pid)));
    if (!victims.some(({ victim }) => victim === "session" || victim === "supervisor")) return;
    await this.#open(blow.rivals ? 2 : 1);
  }

  /** The next blow does not wait for the answer. */
  async #cancel({ pick }: Blow): Promise<void> {
    const session = this.#sessions.find(({ gone }) => !gone);
    const runs = this.#files.underWay();
    const runId = runs[Math.floor(pick * runs.length)];
    if (!session || runId === undefined) return;
    this.blows.cancel = (this.blows.cancel ?? 0) + 1;
    addToLedger(this.ledger, { kind: "cancel", runId, heardAt: null });
    void session.cancel(runId).then((heard) => {
      if (heard) addToLedger(this.ledger, { kind: "cancel", runId, heardAt: Date.now() });
    });
  }

  async #endSession(target: "quit" | "replace"): Promise<void> {
    const session = this.#sessions.find(({ gone }) => !gone);
    if (!session || this.#files.missing().length > 0) return;
    this.blows[target] = (this.blows[target] ?? 0) + 1;
    if (target === "replace") return session.replace();
    await this.#quit(session);
    await this.#open(1);
  }

  #victims({ target, pick }: Blow): { pid: number; victim: string }[] {
    const all = this.#processes().map((entry) => ({ pid: entry.pid, victim: victimOf(entry) }));
    const one = (...victims: string[]) => {
      const found = all.filter(({ victim }) => victims.includes(victim));
      return found.slice(Math.floor(pick * found.length)).slice(0, 1);
    };
    if (target === "everything") return all;
    if (target === "owner+wrapper") return [...one("supervisor", "session"), ...one("wrapper")];
    return [...one(target), ...one("session", "supervisor", "wrapper", "tool")].slice(0, 1);
  }

  async #quit(session: SoakSession): Promise<void> {
    await within(session.quit()).catch(() => this.faults.push("a session did not end when it was told to"));
  }

  #processes(): ProcessEntry[] {
    return processesWithEnvironment(tagVariable, this.#place.tag);
  }

  /** When sessions become many, the oldest quits. */
  async #open(count: number): Promise<void> {
    const { project: cwd, env } = this.#place;
    const [oldest, another] = this.#sessions.filter(({ gone }) => !gone);
    if (oldest && another) await this.#quit(oldest);
    const place = { cwd, env: { ...env, SOAK_LEDGER: this.ledger } };
    const opened = Array.from({ length: count }, () => new SoakSession(place, (text) => this.complaints.push(text)));
    this.#sessions.push(...opened);
    this.#files.stir();
    const [first] = opened;
    await first?.opened;
    for (const { run, at } of this.#files.missing()) first?.run(`w${at}`, goalOf(run), run.background);
  }
}

function victimOf({ command }: ProcessEntry): string {
  if (command.includes("soak/host/session.mjs")) return "session";
  if (command.includes("host/supervisor.mjs")) return "supervisor";
  return command.includes("workers/start.mjs") ? "wrapper" : "tool";
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it ended by itself just now
  }
}

async function within<T>(work: Promise<T>, limitMs = LEAVE_MS_MAX): Promise<T> {
  const over = new AbortController();
  const late = sleep(limitMs, null, { signal: over.signal }).then((): never => {
    throw new Error(`not within ${limitMs} ms`);
  });
  late.catch(() => undefined);
  try {
    return await Promise.race([work, late]);
  } finally {
    over.abort();
  }
}
