import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HeartbeatThresholds } from "../../src/runs/run-config.ts";
import { HEARTBEAT_THRESHOLDS } from "../../src/supervision/heartbeat.ts";
import { type Finding, judgeTick, type LiveTask, startWatch } from "../../src/supervision/heartbeat-judge.ts";

const INTERVAL_MS = 5000;
const thresholds = HEARTBEAT_THRESHOLDS;
const UNPROVED = { processAlive: "unknown", thresholds } as const;
const PROVED = { processAlive: "alive", thresholds } as const;
const minute = 60_000;
const hour = 60 * minute;

interface Worker {
  taskId: string;
  /** Counts its beats; null writes nothing any more. */
  counter: number | null;
  processAlive: LiveTask["processAlive"];
  left?: boolean;
  thresholds?: HeartbeatThresholds;
}

/** A watcher with its ticks by hand. */
function bench(...workers: Worker[]) {
  let state = startWatch(INTERVAL_MS);
  const now = { wallMs: 1_700_000_000_000, monotonicMs: 0 };
  const findings: (Finding & { at: number })[] = [];
  let ticks = 0;
  function observe(): LiveTask[] {
    return workers.map((it) => ({
      runId: "r",
      taskId: it.taskId,
      attempt: 1,
      workerId: "w",
      processAlive: it.processAlive,
      sign: it.counter === null ? null : String(it.counter),
      left: it.left ?? false,
      thresholds: it.thresholds ?? thresholds,
    }));
  }
  return {
    findings,
    now,
    get state() {
      return state;
    },
    tick(count = 1, gap: { wall?: number; monotonic?: number } = {}) {
      for (let n = 0; n < count; n++) {
        now.wallMs += gap.wall ?? INTERVAL_MS;
        now.monotonicMs += gap.monotonic ?? INTERVAL_MS;
        ticks++;
        const judged = judgeTick(state, observe(), { ...now });
        state = judged.state;
        findings.push(...judged.findings.map((it) => ({ ...it, at: ticks })));
      }
    },
    /** `lost t1`, `level t1 healthy>warn`, `level t1 stale>dead alive` */
    told: () =>
      findings.map((it) => {
        const levels = it.kind === "level" ? ` ${it.previousLevel}>${it.level}` : "";
        return `${it.kind} ${it.taskId}${levels}${"alive" in it && it.alive ? " alive" : ""}`;
      }),
  };
}

const silentWorker = (processAlive: LiveTask["processAlive"]): Worker => ({ taskId: "t", counter: 7, processAlive });

describe("the watcher's judgement", () => {
  it("tells transitions only: each level once, the first dead once, lost on the third dead tick", () => {
    const it0 = bench(silentWorker("dead"));
    it0.tick(100);
    expect(it0.told()).toEqual([
      "level t healthy>warn",
      "level t warn>stale",
      "level t stale>dead",
      "dead t",
      "lost t",
    ]);
    const at = (kind: string) => it0.findings.find((found) => found.kind === kind)?.at ?? 0;
    expect(at("dead")).toBe(61);
    expect(at("lost")).toBe(63);
    expect(it0.findings.find((found) => found.kind === "dead")).toMatchObject({ silenceMs: 300_000, alive: false });
  });

  it("goes by the thresholds of each worker's own run", () => {
    const impatient = { warnMs: 5000, staleMs: 10_000, deadMs: 15_000 };
    const it0 = bench({ ...silentWorker("dead"), taskId: "soon", thresholds: impatient }, silentWorker("dead"));
    it0.tick(6);
    expect(it0.told()).toEqual([
      "level soon healthy>warn",
      "level soon warn>stale",
      "level soon stale>dead",
      "dead soon",
      "lost soon",
    ]);
    it0.tick(1);
    expect(it0.told().slice(5)).toEqual(["level t healthy>warn"]);
  });

  it("never loses whose process is provably alive; once that process is gone, it does", () => {
    const worker = silentWorker("alive");
    const it0 = bench(worker);
    it0.tick(2000);
    expect(it0.told().slice(2)).toEqual(["level t stale>dead alive", "dead t alive"]);
    // a look that proves nothing takes no proof back
    worker.processAlive = "unknown";
    it0.tick(100);
    expect(it0.told()).toHaveLength(4);
    worker.processAlive = "dead";
    it0.tick(100);
    expect(it0.told().slice(4)).toEqual(["level t dead>dead", "lost t"]);
  });

  it("tells when the process of a dead worker is found, and when it is gone, before the worker is judged", () => {
    const worker = silentWorker("unknown");
    const it0 = bench(worker);
    it0.tick(61);
    expect(it0.told().slice(2)).toEqual(["level t stale>dead", "dead t"]);
    worker.processAlive = "alive";
    it0.tick(1);
    worker.processAlive = "dead";
    it0.tick(1);
    expect(it0.told().slice(4)).toEqual(["level t dead>dead alive", "level t dead>dead", "lost t"]);
  });

  it("tells that the process is gone after a suspend, too, when it is judged only later", () => {
    const worker = silentWorker("alive");
    const it0 = bench(worker);
    it0.tick(61);
    worker.processAlive = "dead";
    it0.tick(1, { wall: hour });
    expect(it0.told().slice(4)).toEqual(["level t dead>dead"]);
    it0.tick(5);
    expect(it0.told().slice(5)).toEqual(["lost t"]);
  });

  it("takes a beat as life: a new silence is told anew, the first dead is not", () => {
    const worker = silentWorker("alive");
    const it0 = bench(worker);
    it0.tick(70);
    worker.counter = 8;
    it0.tick(1);
    expect(it0.told().at(-1)).toBe("level t dead>healthy");
    it0.tick(70);
    expect(it0.told().slice(5)).toEqual(["level t healthy>warn", "level t warn>stale", "level t stale>dead alive"]);
  });

  it("needs three dead ticks in a row", () => {
    const worker = silentWorker("unknown");
    const it0 = bench(worker);
    for (let round = 0; round < 5; round++) {
      it0.tick(62);
      worker.counter = (worker.counter ?? 0) + 1;
    }
    expect(it0.told()).not.toContain("lost t");
  });

  it("takes a worker's leave for what it is", () => {
    const worker: Worker = { ...silentWorker("unknown"), left: true };
    const it0 = bench(worker);
    it0.tick(3);
    expect(it0.told()).toEqual(["level t healthy>dead", "dead t", "lost t"]);
  });

  it("forgets tasks that ended, and begins anew with each attempt", () => {
    const task = { runId: "r", taskId: "t", workerId: "w", sign: null, left: false, ...UNPROVED };
    const at = (wallMs: number) => ({ wallMs, monotonicMs: wallMs });
    const first = judgeTick(startWatch(INTERVAL_MS), [{ ...task, attempt: 1 }], at(0));
    const second = judgeTick(first.state, [{ ...task, attempt: 2 }], at(5000));
    expect([...second.state.watches.values()]).toMatchObject([{ attempt: 2, silenceMs: 0 }]);
    expect(judgeTick(second.state, [], at(10_000)).state.watches.size).toBe(0);
  });

  it("takes the same sign again for silence, and no sign for no other", () => {
    const task = { runId: "r", taskId: "t", attempt: 1, workerId: "w", left: false, ...PROVED };
    const first = judgeTick(startWatch(INTERVAL_MS), [{ ...task, sign: "1" }], { wallMs: 0, monotonicMs: 0 });
    const look = (sign: string | null) => [
      ...judgeTick(first.state, [{ ...task, sign }], { wallMs: 5000, monotonicMs: 5000 }).state.watches.values(),
    ];
    expect(look("1")).toMatchObject([{ silenceMs: 5000, sign: "1" }]);
    expect(look(null)).toMatchObject([{ silenceMs: 5000, sign: "1" }]);
    expect(look("2")).toMatchObject([{ silenceMs: 0, sign: "2" }]);
  });
});

describe("stories", () => {
  it("row 18, a laptop sleeps 8 h with 10 workers: no false death, on either kind of clock, also when they wake late", () => {
    for (const monotonic of [5000, 8 * hour]) {
      const workers = Array.from(
        { length: 10 },
        (_, n): Worker => ({
          taskId: `t${n}`,
          counter: 0,
          processAlive: "unknown",
        }),
      );
      const it0 = bench(...workers);
      it0.tick(20);
      for (const worker of workers) worker.counter = 1;
      it0.tick(1);
      it0.findings.length = 0;
      it0.tick(1, { wall: 8 * hour, monotonic });
      // swapped out, they beat again only after the fourth interval: the time asleep was nobody's silence
      it0.tick(4);
      for (const worker of workers) worker.counter = 2;
      it0.tick(5);
      expect(it0.told()).toEqual([]);
    }
  });

  it("row 19, the wall clock is set by -2 h or +3 h: nobody is killed, and nobody saved", () => {
    for (const jump of [-2 * hour, 3 * hour]) {
      const dead = silentWorker("unknown");
      const live: Worker = { taskId: "live", counter: 0, processAlive: "unknown" };
      const it0 = bench(dead, live);
      for (let n = 1; n <= 80; n++) {
        live.counter = n;
        it0.tick(1, n === 30 || n === 50 ? { wall: jump } : {});
      }
      expect(it0.told().filter((it) => it.endsWith("live"))).toEqual([]);
      expect(it0.findings.filter((it) => it.kind === "lost").map((it) => it.at)).toEqual([63]);
    }
  });

  it("row 20, a heartbeat that is gone: nobody is dead for that", () => {
    const worker = silentWorker("unknown");
    const it0 = bench(worker);
    it0.tick(2);
    worker.counter = null;
    it0.tick(4);
    expect(it0.told()).toEqual([]);
  });

  it("after a suspend nobody is judged worse than before, for three ticks", () => {
    const it0 = bench(silentWorker("unknown"));
    it0.tick(6);
    it0.tick(1, { wall: hour });
    it0.tick(5);
    expect(it0.findings.map(({ kind, at, silenceMs }) => ({ kind, at, silenceMs }))).toEqual([
      { kind: "level", at: 10, silenceMs: 45_000 },
    ]);
  });

  it("a wall clock that is set while someone is already dead costs at most a fresh window", () => {
    const it0 = bench(silentWorker("unknown"));
    it0.tick(61);
    it0.tick(1, { wall: hour });
    it0.tick(10);
    expect(it0.findings.filter((it) => it.kind === "lost").map((it) => it.at)).toEqual([67]);
    expect(it0.told()).not.toContain("level t dead>healthy");
  });
});

/** What happens to machine and watcher, in milliseconds. */
type Segment =
  | { kind: "awake"; ms: number }
  /** Everything stops; `monotonic` is whether that clock goes on meanwhile, as it does on macOS. */
  | { kind: "sleep"; ms: number; monotonic: boolean }
  /** The watcher's own loop hangs; workers go on. */
  | { kind: "stall"; ms: number }
  | { kind: "jump"; ms: number };

const segment = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant("awake" as const), ms: fc.integer({ min: 250, max: 90_000 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant("sleep" as const),
      ms: fc.oneof(fc.integer({ min: 100, max: 20_000 }), fc.integer({ min: minute, max: 9 * hour })),
      monotonic: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("stall" as const), ms: fc.integer({ min: 100, max: 600_000 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("jump" as const), ms: fc.integer({ min: -3 * hour, max: 3 * hour }) }),
  },
);

/**
 * Plays a schedule: a worker beats every 5 s of time awake, and after a sleep only `late` ms later; one is dead from
 * the start. What the system tells of their processes is `unknown`: only silence is left to judge by.
 */
function play(
  schedule: readonly Segment[],
  late: readonly number[],
  afterwardsMs: number,
): (Finding & { at: number })[] {
  const step = 250;
  let state = startWatch(INTERVAL_MS);
  const now = { wallMs: 1_700_000_000_000, monotonicMs: 0 };
  const findings: (Finding & { at: number })[] = [];
  let awake = 0;
  let nextTick = 0;
  let nextBeat = 0;
  let counter = 0;
  let sleeps = 0;
  function pass(ms: number, watching: boolean) {
    for (let left = ms; left > 0; left -= step) {
      awake += step;
      now.wallMs += step;
      now.monotonicMs += step;
      if (awake >= nextBeat) {
        counter++;
        nextBeat = awake + 5000;
      }
      if (!watching || now.monotonicMs < nextTick) continue;
      nextTick = now.monotonicMs + INTERVAL_MS;
      const place = { runId: "r", attempt: 1, workerId: "w", left: false, ...UNPROVED };
      const observation: LiveTask[] = [
        { ...place, taskId: "live", sign: String(counter) },
        { ...place, taskId: "gone", sign: "0" },
        { ...place, taskId: "stuck", sign: "0", processAlive: "alive" },
      ];
      const judged = judgeTick(state, observation, { ...now });
      state = judged.state;
      findings.push(...judged.findings.map((it) => ({ ...it, at: now.monotonicMs })));
    }
  }
  for (const part of schedule) {
    if (part.kind === "awake") pass(part.ms, true);
    else if (part.kind === "stall") pass(part.ms, false);
    else now.wallMs += part.ms;
    if (part.kind !== "sleep") continue;
    if (part.monotonic) now.monotonicMs += part.ms;
    nextBeat = Math.max(nextBeat, awake + (late[sleeps++ % late.length] ?? 0));
  }
  pass(afterwardsMs, true);
  return findings;
}

describe("any schedule of sleeps, stalls and jumps", () => {
  const schedules = fc.array(segment, { maxLength: 25 });
  const lateness = fc.array(fc.integer({ min: 0, max: 14_000 }), { minLength: 1, maxLength: 5 });

  it("never declares a live worker dead or lost, nor one whose process is there", () => {
    fc.assert(
      fc.property(schedules, lateness, (schedule, late) => {
        const findings = play(schedule, late, minute);
        expect(findings.filter((it) => it.taskId === "live" && (it.kind === "dead" || it.kind === "lost"))).toEqual([]);
        expect(findings.filter((it) => it.taskId === "stuck" && it.kind === "lost")).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  it("finds out who is gone all the same, once, and tells a chain of levels", () => {
    fc.assert(
      fc.property(schedules, lateness, (schedule, late) => {
        const findings = play(schedule, late, 6 * minute);
        for (const kind of ["dead", "lost"])
          expect(findings.filter((it) => it.taskId === "gone" && it.kind === kind)).toHaveLength(1);
        for (const taskId of ["live", "gone", "stuck"]) {
          let level = "healthy";
          for (const found of findings) {
            if (found.taskId !== taskId || found.kind !== "level") continue;
            expect(found.previousLevel).toBe(level);
            expect(found.level).not.toBe(level);
            level = found.level;
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});
