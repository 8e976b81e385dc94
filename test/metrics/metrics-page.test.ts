import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { metricsPage } from "../support/metrics-page.ts";
import { everyMetric, movers } from "../support/moving-events.ts";

const PAGE = join(import.meta.dirname, "../../docs/metrics.md");

describe("docs/metrics.md", () => {
  const moved = movers();

  it("says what is true: FOREMAN_UPDATE=1 npx vitest run test/metrics/metrics-page.test.ts", () => {
    const page = metricsPage(moved);
    if (process.env["FOREMAN_UPDATE"]) writeFileSync(PAGE, page);
    expect(readFileSync(PAGE, "utf8")).toBe(page);
  });

  it("knows for every metric but a computed one what moves it", () => {
    const names = everyMetric()
      .registry.snapshot()
      .map(({ name }) => name);
    expect(names.filter((name) => !moved.has(name))).toEqual([
      ...["crew.run.active", "crew.task.active", "crew.heartbeat.staleness_ms"],
    ]);
    expect(moved.get("crew.recovery.count")).toEqual(["crew.run.cancelled", "crew.run.resumed"]);
    expect(moved.get("crew.task.tokens_total")).toEqual(["crew.task.attempt_finished"]);
  });
});
