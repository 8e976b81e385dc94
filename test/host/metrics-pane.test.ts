import { resolve } from "node:path";
import { expect, it } from "vitest";
import { quantileOf } from "../../src/metrics/quantile.ts";
import { inUnit, quantileText } from "../../src/views/metrics-table.ts";
import { diamondFiles, teamReplies } from "../support/diamond-team.ts";
import { type ReadFamily, type ReadSample, readExposition } from "../support/exposition-reader.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

/** A row of the pane: a series and the numbers behind it. */
interface PaneRow {
  series: string;
  numbers: string[];
}

function rowsOf(screen: string): { counters: PaneRow[]; histograms: PaneRow[] } {
  const lines = screen.split("\n").map((line) => line.trim());
  const from = lines.findIndex((line) => line.startsWith("COUNTERS"));
  const middle = lines.findIndex((line) => line.startsWith("HISTOGRAMS"));
  const rows = (part: string[]): PaneRow[] =>
    part
      .filter((line) => line.startsWith("crew."))
      .map((line) => line.split(/ {2,}/))
      .map(([series = "", ...numbers]) => ({ series, numbers }));
  return { counters: rows(lines.slice(from, middle)), histograms: rows(lines.slice(middle)) };
}

/** As the pane writes a series, from what was scraped: `crew.run.count{status=completed,team=diamond}`. */
function seriesOf({ labels }: ReadSample, family: string): string {
  const parts = Object.entries(labels).filter(([name]) => name !== "le");
  return parts.length === 0 ? family : `${family}{${parts.map(([name, value]) => `${name}=${value}`).join(",")}}`;
}

/** From the scraped name back to ours: the pane's own name must lead to it. */
function scrapedName(series: string, kind: "counter" | "histogram"): string {
  const base = series.replace(/\{.*/, "").replaceAll(".", "_").replace(/_ms$/, "_seconds");
  return kind === "counter" && !base.endsWith("_total") ? `${base}_total` : base;
}

function quantilesOf(family: ReadFamily, series: string, inMs: boolean): string[] {
  const ours = (suffix: string) =>
    family.samples.filter((it) => it.name === `${family.name}${suffix}` && seriesOf(it, "x") === series);
  const scale = inMs ? 1000 : 1;
  const cumulated = ours("_bucket").map(({ labels, value }) => ({ bound: Number(labels["le"]) * scale, value }));
  const bounds = cumulated.slice(0, -1).map(({ bound }) => Number(bound.toPrecision(12)));
  const buckets = cumulated.map(({ value }, at) => value - (cumulated[at - 1]?.value ?? 0));
  const sum = (ours("_sum")[0]?.value ?? Number.NaN) * scale;
  const unit = inMs ? "ms" : "count";
  const of = (q: number) => quantileText(unit, quantileOf({ bounds, unit }, { buckets, sum }, q));
  return [String(ours("_count")[0]?.value), of(0.5), of(0.95), of(0.99)];
}

it.skipIf(tmuxMissing !== null)(
  "the metrics pane shows what /metrics says at the same moment, of all series and of those a filter leaves",
  async () => {
    const steps = { c: () => ({ status: 400, error: "no such thing" }) };
    const rig = await makeRig(teamReplies({ action: "list" }, steps), { files: diamondFiles });
    const { project } = rig.agentFolder;
    const pi = await (await rig.tmux({ extensions: [PACKAGE], columns: 160, rows: 60 })).ready();
    await pi.submit("/team-metrics --serve --port 0");
    const [url = ""] = /http:\S+metrics/.exec(await pi.waitForText(/http:\S+metrics is for/)) ?? [];
    await pi.submit('/team-run diamond "go"');
    await pi.waitForText("Team diamond is at work");
    const [runId = ""] = await runIds(project);
    await waitUntil(async () => ofType(await eventsOf(project, runId), "crew.run.failed").length === 1, 30_000);
    await pi.waitForText("c failed");
    await pi.submit("/team-dashboard");
    await pi.waitForText("q close");
    await pi.sendKeys("6");
    for (const filter of ["", "crew.task.*"]) {
      if (filter !== "") {
        await pi.sendKeys("/");
        await pi.waitForText("Names of metrics");
        await pi.sendText(filter);
        await pi.waitForText(`> ${filter}`);
        await pi.sendKeys("Enter");
      }
      const shown = await pi.waitForText(
        filter === "" ? /HISTOGRAMS[\s\S]*q close/ : /that match crew\.task\.\*[\s\S]*q close/,
      );
      const { families } = readExposition(await (await fetch(url)).text(), "text");
      // nothing has moved meanwhile
      expect(await pi.capture()).toBe(shown);
      const { counters, histograms } = rowsOf(shown);
      const fits = (name: string) => name.startsWith(filter.replace("*", "").replaceAll(".", "_"));
      const scraped = families
        .filter(({ type, name }) => type === "counter" && fits(name))
        .flatMap(({ name, samples }) => samples.map((it) => ({ series: seriesOf(it, name), value: it.value })));
      const scrapedValues = new Map(scraped.map(({ series, value }) => [series, value]));
      const most = scraped.map(({ value }) => value).sort((a, b) => b - a);
      const values = counters.map(({ series, numbers: [number] }) => {
        const labels = /\{.*/.exec(series)?.[0] ?? "";
        const value = scrapedValues.get(scrapedName(series, "counter") + labels) ?? Number.NaN;
        expect(number, series).toBe(inUnit(series.includes("cost_usd") ? "usd" : "count", value));
        return value;
      });
      expect(values).toEqual(most.slice(0, 10));
      const counted = families.filter(({ type, name }) => type === "histogram" && fits(name));
      const filled = counted.flatMap(({ samples }) => samples.filter((it) => /_count$/.test(it.name) && it.value > 0));
      expect(histograms).toHaveLength(filled.length);
      expect(filled.length).toBeGreaterThan(1);
      for (const { series, numbers } of histograms) {
        const family = counted.find(({ name }) => name === scrapedName(series, "histogram"));
        if (!family) throw new Error(`/metrics has no ${series}`);
        const labels = `x${/\{.*/.exec(series)?.[0] ?? ""}`;
        expect(numbers.slice(0, 4), series).toEqual(quantilesOf(family, labels, series.includes("_ms")));
      }
    }
    await pi.close();
  },
  90_000,
);
