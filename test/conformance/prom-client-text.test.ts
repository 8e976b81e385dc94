import fc from "fast-check";
import * as prom from "prom-client";
import { describe, expect, it } from "vitest";
import { Exposition } from "../../src/export/exposition.ts";
import { DURATION_BOUNDS_MS } from "../../src/metrics/buckets.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { anyText } from "../events/any-event.ts";
import { expositionProblems } from "../support/exposition-checker.ts";
import { readExposition } from "../support/exposition-reader.ts";

/** prom-client is given what our registry is given, and its text is read as ours is. */

// it has no way of its own for what is no UTF-8
const utf8Text = anyText.map((text) => text.replace(/[\ud800-\udfff\ufffd]/gu, "?"));
const ms = fc.integer({ min: 0, max: 40_000_000 });
const facts = fc.array(fc.record({ x: utf8Text, y: fc.constantFrom("a", "b", ""), ms }), { maxLength: 30 });

interface Fact {
  x: string;
  y: string;
  ms: number;
}

function ourText(help: string, list: readonly Fact[]): string {
  const registry = createMetricRegistry();
  const options = { labels: ["x", "y"] } as const;
  const counter = registry.registerCounter("crew.a.count", help, options);
  const gauge = registry.registerGauge("crew.a.age_ms", help, { ...options, unit: "ms" });
  const long = { ...options, unit: "ms", buckets: DURATION_BOUNDS_MS } as const;
  const duration = registry.registerHistogram("crew.a.duration_ms", help, long);
  const plain = registry.registerHistogram("crew.a.plain", help, options);
  for (const { x, y, ms } of list) {
    counter.inc({ y, x }, ms);
    gauge.set({ y, x }, ms);
    duration.observe({ y, x }, ms);
    plain.observe({ y, x }, ms);
  }
  return new Exposition("text").render(registry.snapshot());
}

async function theirText(help: string, list: readonly Fact[]): Promise<string> {
  const registry = new prom.Registry();
  const options = { help, labelNames: ["x", "y"], registers: [registry] };
  const counter = new prom.Counter({ ...options, name: "crew_a_count_total" });
  const gauge = new prom.Gauge({ ...options, name: "crew_a_age_seconds" });
  const buckets = DURATION_BOUNDS_MS.map((bound) => bound / 1000);
  const duration = new prom.Histogram({ ...options, name: "crew_a_duration_seconds", buckets });
  const bounds = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];
  const plain = new prom.Histogram({ ...options, name: "crew_a_plain", buckets: bounds });
  for (const { x, y, ms } of list) {
    counter.inc({ x, y }, ms);
    gauge.set({ x, y }, ms / 1000);
    duration.observe({ x, y }, ms / 1000);
    plain.observe({ x, y }, ms);
  }
  return registry.metrics();
}

/** In any order; numbers to 12 digits, since seconds added up differ from milliseconds added up. */
function read(text: string) {
  return readExposition(text, "text").families.map(({ name, type, help, samples }) => {
    const lines = samples.map(({ name: sample, labels, value }) =>
      JSON.stringify([sample, Object.entries(labels).sort(), value.toPrecision(12)]),
    );
    return { name, type, help, lines: lines.sort() };
  });
}

describe("prom-client, given the same", () => {
  it("writes the same counts, sums and buckets, whatever labels and help say", async () => {
    await fc.assert(
      fc.asyncProperty(utf8Text, facts, async (help, list) => {
        const theirs = await theirText(`h${help}`, list);
        expect(read(ourText(`h${help}`, list))).toEqual(read(theirs));
      }),
    );
  });

  it("passes the checker", async () => {
    const list = [
      { x: 'a"}\\\n', y: "b", ms: 1500 },
      { x: "", y: "", ms: 3 },
    ];
    expect(expositionProblems(await theirText("h", list), "text")).toEqual([]);
  });
});
