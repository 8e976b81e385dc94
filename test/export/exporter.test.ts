import { describe, expect, it } from "vitest";
import { type Exporter, Exporters } from "../../src/export/exporter.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import type { MetricsSnapshot } from "../../src/metrics/snapshot.ts";
import { FakeClock } from "../support/fake-clock.ts";

const SNAPSHOT: MetricsSnapshot = createMetricRegistry().snapshot();

function exporter(
  name: string,
  push: Exporter["push"],
  dispose: Exporter["dispose"] = async () => undefined,
): Exporter {
  return { name, push, dispose };
}

function exportersOf(...given: unknown[]) {
  const warnings: string[] = [];
  const clock = new FakeClock();
  const all = new Exporters({ clock, snapshot: () => SNAPSHOT, warn: (message) => void warnings.push(message) });
  for (const one of given) all.add(one as Exporter);
  return { all, clock, warnings };
}

/** A push that lasts until it is let go. */
function slowPush() {
  let go: () => void = () => undefined;
  const gone = new Promise<void>((resolve) => {
    go = resolve;
  });
  return { push: () => gone, go };
}

describe("several exporters", () => {
  it("do each other no harm: one fails, one throws at once, one hangs, and the others get every snapshot", async () => {
    const got: MetricsSnapshot[] = [];
    const slow = slowPush();
    const { all, clock, warnings } = exportersOf(
      exporter("failing", () => Promise.reject(new Error("no luck"))),
      exporter("throwing", () => {
        throw new Error("at once");
      }),
      exporter("slow", slow.push),
      exporter("good", async (snapshot) => void got.push(snapshot)),
    );
    const first = all.push();
    await clock.advance(0);
    await clock.advance(60_000);
    expect(got).toEqual([SNAPSHOT, SNAPSHOT]);
    slow.go();
    await first;
    await all.push();
    const none = { pushed: 0, failed: 0, skipped: 0, lastError: null };
    expect(all.counts()).toEqual([
      { ...none, name: "failing", failed: 3, lastError: "no luck" },
      { ...none, name: "throwing", failed: 3, lastError: "at once" },
      { ...none, name: "slow", pushed: 2, skipped: 1 },
      { ...none, name: "good", pushed: 3 },
    ]);
    // the first failure in a row, no other
    expect(warnings).toEqual(["throwing: at once", "failing: no luck"]);
  });

  it("tell of a failure again after a success", async () => {
    let fails = true;
    const { all, warnings } = exportersOf(
      exporter("one", async () => {
        if (fails) throw new Error("away");
      }),
    );
    for (const state of [true, true, false, true]) {
      fails = state;
      await all.push();
    }
    expect(warnings).toEqual(["one: away", "one: away"]);
    expect(all.counts()[0]).toMatchObject({ pushed: 1, failed: 3 });
  });

  it("refuse what is none, and take whatever is thrown", async () => {
    const trap = Object.defineProperty({}, "name", {
      get: () => {
        throw Object.create(null);
      },
    });
    const noText = exporter("odd", () => Promise.reject(Object.create(null)));
    const { all, warnings } = exportersOf(undefined, {}, { name: 7, push: noText.push, dispose: null }, trap, noText);
    await all.push();
    expect(all.counts()).toMatchObject([{ name: "odd", failed: 1 }]);
    expect(warnings).toHaveLength(5);
    expect(warnings[1]).toBe("an exporter can't be used: it must have a name (text), push and dispose (functions)");
    expect(warnings[4]).toBe("odd: thrown was what has no text");
  });
});

describe("their end", () => {
  it("disposes of all, whatever one of them throws, and takes nothing more", async () => {
    const disposed: string[] = [];
    const { all, clock } = exportersOf(
      exporter(
        "bad",
        async () => undefined,
        () => Promise.reject(new Error("stuck")),
      ),
      exporter(
        "good",
        async () => undefined,
        async () => void disposed.push("good"),
      ),
    );
    await all.end(1000);
    all.add(exporter("late", async () => undefined));
    expect(disposed).toEqual(["good"]);
    expect(all.counts()).toMatchObject([{ failed: 1, lastError: "stuck" }, { name: "good" }]);
    expect(clock.pending).toBe(0);
  });

  it("gives the last snapshot after the push under way, unless that takes too long", async () => {
    const steps: string[] = [];
    const [slow, stuck] = [slowPush(), slowPush()];
    const note = (name: string, push: () => Promise<void>) =>
      exporter(
        name,
        () => {
          steps.push(`${name} is pushed`);
          return push();
        },
        async () => void steps.push(`${name} is disposed of`),
      );
    const { all, clock } = exportersOf(note("slow", slow.push), note("stuck", stuck.push));
    void all.push();
    const ended = all.end(1000);
    steps.length = 0;
    slow.go();
    await clock.advance(999);
    expect(steps).toEqual(["slow is pushed", "slow is disposed of"]);
    await clock.advance(1);
    await ended;
    stuck.go();
    await clock.advance(1);
    expect(steps.slice(2)).toEqual(["stuck is disposed of"]);
  });
});
