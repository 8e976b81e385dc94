import { describe, expect, it } from "vitest";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import type { Session } from "../../src/host/session.ts";
import { SessionRuns } from "../../src/host/session-runs.ts";
import { Disposer } from "../../src/system/disposer.ts";
import { FakeClock } from "../support/fake-clock.ts";

const { pollIntervalMs } = DEFAULT_CONFIG.observability;

const failing = async (): Promise<never> => {
  throw new Error("what runs need can't be loaded");
};

const hanging = () => new Promise<never>(() => undefined);

/** A session of a project without runs that counts what its runs ask of it. */
function idle(canAsk = true) {
  const clock = new FakeClock();
  const disposer = new Disposer(() => undefined);
  const counts = { looks: 0, loads: 0 };
  const errors: string[] = [];
  const scene = {
    clock,
    counts,
    errors,
    close: () => disposer.dispose(),
    there: async (): Promise<boolean> => false,
    load: failing,
  };
  const session = {
    canAsk,
    closed: false,
    world: { clock, log: { error: (text: string) => errors.push(text) } },
    config: async () => ({ config: DEFAULT_CONFIG }),
    defer: (release: () => void) => disposer.defer(release),
    hasRuns: () => {
      counts.looks += 1;
      return scene.there();
    },
    late: () => {
      counts.loads += 1;
      return scene.load();
    },
  };
  return { ...scene, runs: new SessionRuns(session as unknown as Session), scene };
}

describe("a session of a project without runs", () => {
  it("looks at one folder each interval, loads nothing, and leaves no timer behind", async () => {
    const { clock, counts, runs, close } = idle();
    await runs.awaitFirst();
    await clock.advance(10 * pollIntervalMs);
    expect(counts).toEqual({ looks: 10, loads: 0 });
    expect(runs.begun).toBe(false);
    await close();
    expect(clock.pending).toBe(0);
  });

  it("does not look again while a look hangs", async () => {
    const { clock, counts, runs, scene } = idle();
    scene.there = hanging;
    await runs.awaitFirst();
    await clock.advance(10 * pollIntervalMs);
    expect(counts.looks).toBe(1);
  });

  it("loads what runs need once there are some, tries again when that fails, and says so once", async () => {
    const { clock, counts, errors, runs, scene } = idle();
    await runs.awaitFirst();
    await clock.advance(pollIntervalMs);
    scene.there = async () => true;
    await clock.advance(2 * pollIntervalMs);
    expect(counts).toEqual({ looks: 3, loads: 2 });
    expect(errors).toHaveLength(1);
  });

  it("does not look while something is done about runs, and goes on when that failed", async () => {
    const { clock, counts, runs, scene } = idle();
    let fail: (error: Error) => void = () => undefined;
    scene.load = () => new Promise<never>((_, reject) => (fail = reject));
    await runs.awaitFirst();
    const opened = runs.open();
    await clock.advance(2 * pollIntervalMs);
    expect(counts.looks).toBe(0);
    fail(new Error("what runs need can't be loaded"));
    await expect(opened).rejects.toThrow("can't be loaded");
    await clock.advance(pollIntervalMs);
    expect(counts.looks).toBe(1);
  });

  it("does not look when there is nobody to tell", async () => {
    const { clock, runs } = idle(false);
    await runs.awaitFirst();
    expect(clock.pending).toBe(0);
  });
});
