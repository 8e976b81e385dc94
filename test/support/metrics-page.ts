import { exportedValue, PrometheusNames } from "../../src/export/prometheus-names.ts";
import type { MetricSnapshot } from "../../src/metrics/snapshot.ts";
import { everyMetric, type movers, SESSION_FACTS } from "./moving-events.ts";

const INTRODUCTION = `# Metrics

What pi-foreman counts in a session. This page is written by a program, from the metrics themselves: what moves one was
found by feeding each event and looking.

The first name is the one inside Pi, in the metric files and over OTLP. For Prometheus it is rewritten: dots become
underscores, milliseconds become seconds (names and values), a counter ends in \`_total\`, once. Histograms have
\`_bucket\`, \`_sum\` and \`_count\`. A client that asks for OpenMetrics 1.0 gets it, with units; there a counter's family
has no \`_total\`, only its samples.

A metric has at most 1,000 series. What comes on top is counted together in one series whose labels all say \`overflow\`.
Label values are cut at 256 characters.
`;

const UNITS: Readonly<Record<MetricSnapshot["unit"], string>> = {
  count: "",
  ms: " in milliseconds",
  bytes: " in bytes",
  tokens: " in tokens",
  usd: " in US dollars",
};

/** docs/metrics.md as it has to be. */
export function metricsPage(moved: ReturnType<typeof movers>): string {
  const { registry } = everyMetric();
  const names = new PrometheusNames();
  const metrics = registry.snapshot().map((metric) => ({ metric, exported: names.of(metric).text }));
  const sections = metrics.map(({ metric, exported }) => sectionOf(metric, exported, moved.get(metric.name) ?? []));
  const rows = metrics.map(
    ({ metric, exported }) => `| [\`${metric.name}\`](#${anchor(metric.name)}) | ${metric.kind} | \`${exported}\` |`,
  );
  const table = ["| metric | kind | in Prometheus |", "|---|---|---|", ...rows].join("\n");
  return [INTRODUCTION, `${table}\n`, ...sections].join("\n");
}

function sectionOf(metric: MetricSnapshot, exported: string, movedBy: readonly string[]): string {
  const { name, kind, unit, labelNames, help } = metric;
  const labels = labelNames.map((label) => `\`${label}\``).join(", ");
  const lines = [
    `${help}.`,
    "",
    `- ${kind}${UNITS[unit]}${labels === "" ? "" : `, by ${labels}`}`,
    `- Prometheus: \`${exported}\``,
    `- moved by ${movedBy.length === 0 ? "no event: it is computed when it is read" : movedBy.map(moverText).join(", ")}`,
  ];
  if (metric.kind === "histogram") {
    const bounds = metric.bounds.map((bound) => exportedValue(bound, unit)).join(" ");
    lines.push(`- bounds${unit === "ms" ? " in seconds" : ""}: ${bounds}`);
  }
  return `## ${name}\n\n${lines.join("\n")}\n`;
}

/** `turnEnded` → "the session: turn ended". */
function moverText(mover: string): string {
  if (!(mover in SESSION_FACTS)) return `\`${mover}\``;
  return `the session (${mover.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)})`;
}

/** As GitHub makes it of a heading. */
function anchor(heading: string): string {
  return heading.replaceAll(".", "");
}
