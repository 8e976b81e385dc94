import { describe, expect, it } from "vitest";
import { CompositeExporter, type Exporter } from "../../src/export/exporter.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import type { MetricsSnapshot } from "../../src/metrics/snapshot.ts";

const SNAPSHOT: MetricsSnapshot = createMetricRegistry().snapshot();

function exporter(
  name: string,
  push: Exporter["push"],
  dispose: Exporter["dispose"] = async () => undefined,
): Exporter {
  return { name, push, dispose };
}

describe("several exporters", () => {
  it("do each other no harm: one fails, one throws at once, one hangs, and the others get every snapshot", async () => {
    const got: MetricsSnapshot[] = [];
    const warnings: string[] = [];
    let answer: () => void = () => undefined;
    const hanging = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const all = new CompositeExporter(
      [
        exporter("failing", () => Promise.reject(new Error("no luck"))),
        exporter("throwing", () => {
          throw new Error("at once");
        }),
        exporter("slow", () => hanging),
        exporter("good", async (snapshot) => void got.push(snapshot)),
      ],
      (message) => warnings.push(message),
    );
    const first = all.push(SNAPSHOT);
    await new Promise((resolve) => setImmediate(resolve));
    await all.push(SNAPSHOT);
    expect(got).toEqual([SNAPSHOT, SNAPSHOT]);
    answer();
    await first;
    await all.push(SNAPSHOT);
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
    const warnings: string[] = [];
    let fails = true;
    const push = async () => {
      if (fails) throw new Error("away");
    };
    const all = new CompositeExporter([exporter("one", push)], (message) => warnings.push(message));
    for (const state of [true, true, false, true]) {
      fails = state;
      await all.push(SNAPSHOT);
    }
    expect(warnings).toEqual(["one: away", "one: away"]);
    expect(all.counts()[0]).toMatchObject({ pushed: 1, failed: 3 });
  });

  it("are all disposed of, whatever one of them throws", async () => {
    const disposed: string[] = [];
    const dispose = async () => void disposed.push("good");
    const bad = exporter(
      "bad",
      async () => undefined,
      () => Promise.reject(new Error("stuck")),
    );
    const all = new CompositeExporter([bad, exporter("good", async () => undefined, dispose)], () => undefined);
    await all.dispose();
    expect(disposed).toEqual(["good"]);
    expect(all.counts()[0]).toMatchObject({ failed: 1, lastError: "stuck" });
  });
});
