import { describe, expect, it } from "vitest";
import { exportedValue, type NamedMetric, PrometheusNames } from "../../src/export/prometheus-names.ts";

const ROWS: [metric: NamedMetric, base: string, text: string, unit: string | null][] = [
  [{ name: "crew.run.active", kind: "gauge", unit: "count" }, "crew_run_active", "crew_run_active", null],
  [{ name: "crew.run.count", kind: "counter", unit: "count" }, "crew_run_count", "crew_run_count_total", null],
  [{ name: "crew.a.b_total", kind: "counter", unit: "count" }, "crew_a_b", "crew_a_b_total", null],
  [{ name: "crew.a.b_ms", kind: "histogram", unit: "ms" }, "crew_a_b_seconds", "crew_a_b_seconds", "seconds"],
  [{ name: "crew.a.b_ms_total", kind: "counter", unit: "ms" }, "crew_a_b_seconds", "crew_a_b_seconds_total", "seconds"],
  [{ name: "crew.a.wait", kind: "gauge", unit: "ms" }, "crew_a_wait_seconds", "crew_a_wait_seconds", "seconds"],
  [{ name: "crew.a.b_seconds", kind: "gauge", unit: "ms" }, "crew_a_b_seconds", "crew_a_b_seconds", "seconds"],
  [{ name: "crew.a.size", kind: "gauge", unit: "bytes" }, "crew_a_size_bytes", "crew_a_size_bytes", "bytes"],
  [{ name: "crew.a.b_bytes", kind: "gauge", unit: "bytes" }, "crew_a_b_bytes", "crew_a_b_bytes", "bytes"],
  [{ name: "crew.a.tokens_total", kind: "counter", unit: "tokens" }, "crew_a_tokens", "crew_a_tokens_total", "tokens"],
  [{ name: "crew.a.cost_usd", kind: "counter", unit: "usd" }, "crew_a_cost_usd", "crew_a_cost_usd_total", "usd"],
  [
    { name: "crew.a.token_count", kind: "counter", unit: "tokens" },
    "crew_a_token_count",
    "crew_a_token_count_total",
    null,
  ],
];

describe("a metric's name in Prometheus", () => {
  it.each(ROWS)("of $name is $1", (metric, base, text, unit) => {
    expect(new PrometheusNames().of(metric)).toEqual({ base, text, unit });
  });

  it("is given once, and stays", () => {
    const names = new PrometheusNames();
    const of = (name: string, kind: NamedMetric["kind"], unit: NamedMetric["unit"] = "count") =>
      names.of({ name, kind, unit }).text;
    expect(of("crew.a.wait_ms", "histogram", "ms")).toBe("crew_a_wait_seconds");
    expect(of("crew.a.wait_seconds", "gauge")).toBe("crew_a_wait_seconds_2");
    expect(of("crew.a.wait", "gauge", "ms")).toBe("crew_a_wait_seconds_3");
    expect(of("crew.a.wait_seconds_sum", "gauge")).toBe("crew_a_wait_seconds_sum_2");
    expect(of("crew.a.busy_seconds_total", "gauge")).toBe("crew_a_busy_seconds_total");
    expect(of("crew.a.busy_ms", "counter", "ms")).toBe("crew_a_busy_seconds_2_total");
    expect(of("crew.a.wait_ms", "histogram", "ms")).toBe("crew_a_wait_seconds");
  });
});

describe("a value in Prometheus", () => {
  it.each([
    [1, 0.001],
    [300, 0.3],
    [28_800_000, 28_800],
    [4.2, 0.0042],
    [0.3, 0.0003],
    [1e-7, 1e-10],
    [1.5e21, 1.5e18],
    [0, 0],
    [-2.1, -0.0021],
    [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])("of %d ms is %d s", (ms, seconds) => {
    expect(exportedValue(ms, "ms")).toBe(seconds);
  });

  it("stays as it is in any other unit", () => {
    for (const unit of ["count", "bytes", "tokens", "usd"] as const) expect(exportedValue(4.2, unit)).toBe(4.2);
  });
});
