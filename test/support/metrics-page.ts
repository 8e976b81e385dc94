import type { CrewEvent } from "../../src/events/crew-event.ts";
import { GenAiMetrics } from "../../src/export/gen-ai-metrics.ts";
import type { EncodableMetric } from "../../src/export/otlp-metrics.ts";
import type { Span } from "../../src/export/otlp-spans.ts";
import { RunSpans } from "../../src/export/otlp-traces.ts";
import { exportedValue, PrometheusNames } from "../../src/export/prometheus-names.ts";
import type { MetricSnapshot } from "../../src/metrics/snapshot.ts";
import { everyMetric, exampleEvents, type movers, SESSION_FACTS } from "./moving-events.ts";

const INTRODUCTION = `# Metrics

What pi-foreman counts in a session. This page is written by a program, from the metrics themselves: what moves one was
found by feeding each event and looking.

The first name is the one inside Pi, in the metric files and over OTLP. For Prometheus it is rewritten: dots become
underscores, milliseconds become seconds (names and values), a counter ends in \`_total\`, once. Histograms have
\`_bucket\`, \`_sum\` and \`_count\`. A client that asks for OpenMetrics 1.0 gets it, with units; there a counter's family
has no \`_total\`, only its samples.

A metric has at most 1,000 series. What comes on top is counted together in one series whose labels all say \`overflow\`.
Label values are cut at 256 characters.

What is [sent by OTLP alone](#sent-by-otlp-alone), metrics called \`gen_ai.*\` and spans, stands at the end.
`;

const OTLP_INTRODUCTION = `## Sent by OTLP alone

With \`otlp.enabled\` ([configuration](configuration.md)) a collector also gets the metrics and spans of
[OpenTelemetry's conventions for generative AI](https://github.com/open-telemetry/semantic-conventions-genai). They are in
no file, not in \`/team-metrics\`, and not served to Prometheus. Only teams move them: runs, and what their workers do; what
the session itself does is in \`crew.session.*\`. What was cancelled has a span, and no duration in these metrics. Labels
without a value are not sent, such as \`error.type\` of what went well. Single requests to a model are not seen:
\`gen_ai.client.*\` are of whole attempts, as \`gen_ai.operation.name\` \`invoke_agent\`.
`;

const SPANS_INTRODUCTION = `### Spans

A run is one trace. Each span is sent when its work ends, and lies in that of the work it was part of: the run, in it its
tasks, in these their attempts, in these the tool calls that workers told of: of many short ones in a row not each.
Prompts, goals, replies and arguments of tools are in none; the messages of errors are.
`;

const UNITS: Readonly<Record<EncodableMetric["unit"], string>> = {
  count: "",
  ms: " in milliseconds",
  s: " in seconds",
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
  return [INTRODUCTION, `${table}\n`, ...sections, ...onlyByOtlp()].join("\n");
}

function sectionOf(metric: MetricSnapshot, exported: string, movedBy: readonly string[]): string {
  const { name, unit, help } = metric;
  const lines = [
    `${help}.`,
    "",
    kindText(metric),
    `- Prometheus: \`${exported}\``,
    `- moved by ${movedBy.length === 0 ? "no event: it is computed when it is read" : movedBy.map(moverText).join(", ")}`,
  ];
  if (metric.kind === "histogram") {
    const bounds = metric.bounds.map((bound) => exportedValue(bound, unit)).join(" ");
    lines.push(`- bounds${unit === "ms" ? " in seconds" : ""}: ${bounds}`);
  }
  return `## ${name}\n\n${lines.join("\n")}\n`;
}

function kindText({ kind, unit, labelNames }: EncodableMetric): string {
  return `- ${kind}${UNITS[unit]}${labelNames.length === 0 ? "" : `, by ${codes(labelNames)}`}`;
}

function codes(names: Iterable<string>): string {
  return [...names].map((name) => `\`${name}\``).join(", ");
}

interface SpanKind {
  /** What follows the word that its name begins with. */
  after: string;
  of: string;
  endedBy: Set<string>;
  attributes: Set<string>;
}

/** By that word. A new kind has to be told of here. */
function spanKinds(): Map<string, SpanKind> {
  const kinds = [
    ["invoke_workflow", "<workflow>", "a run"],
    ["task", "<task id>", "a task"],
    ["invoke_agent", "<role>", "an attempt of an agent"],
    ["attempt", "<number>", "an attempt without one, such as a command"],
    ["execute_tool", "<tool>", "a tool call"],
  ] as const;
  return new Map(kinds.map(([word, after, of]) => [word, { after, of, endedBy: new Set(), attributes: new Set() }]));
}

function onlyByOtlp(): string[] {
  const { metrics, moved, spans } = genAi();
  const sections = metrics.map((metric) => {
    const movedBy = moved.get(metric.name);
    if (metric.kind !== "histogram" || !movedBy) throw new Error(`${metric.name} is no histogram, or nothing moved it`);
    const lines = [kindText(metric), `- moved by ${codes(movedBy)}`];
    const bounds = `- bounds${metric.unit === "s" ? " in seconds" : ""}: ${metric.bounds.join(" ")}`;
    return `### ${metric.name}\n\n${[`${metric.help}.`, "", ...lines, bounds].join("\n")}\n`;
  });
  const rows = [...spans].map(([word, { after, of, endedBy, attributes }]) => {
    if (endedBy.size === 0) throw new Error(`no example made a span ${word}`);
    return `| \`${word} ${after}\` | ${of} | ${codes(endedBy)} | ${codes([...attributes].sort())} |`;
  });
  const table = ["| span | of | ended by | attributes, where they are known |", "|---|---|---|---|", ...rows].join(
    "\n",
  );
  return [OTLP_INTRODUCTION, ...sections, SPANS_INTRODUCTION, `${table}\n`];
}

/** Found by feeding each event, as an exporter does, and looking. */
function genAi() {
  const moved = new Map<string, string[]>();
  const spans = spanKinds();
  const examples = exampleEvents();
  const begun = examples.get("crew.task.attempt_started") ?? [];
  for (const [type, events] of examples) {
    const metrics = new GenAiMetrics(() => undefined);
    const told = events.flatMap((event) => [undefined, ...begun].flatMap((before) => spansOf(before, event, metrics)));
    for (const { name, attributes } of told) {
      const kind = spans.get(name.split(" ")[0] ?? "");
      if (!kind) throw new Error(`a new kind of span is to be told of: ${name}`);
      kind.endedBy.add(type);
      for (const key of Object.keys(attributes)) kind.attributes.add(key);
    }
    for (const { name, series } of metrics.snapshot())
      if (series.length > 0) moved.set(name, [...(moved.get(name) ?? []), type]);
  }
  return { metrics: new GenAiMetrics(() => undefined).snapshot(), moved, spans };
}

/** What is told of `event`, when the same work has begun with `before`. */
function spansOf(before: CrewEvent | undefined, event: CrewEvent, metrics: GenAiMetrics): Span[] {
  const told: Span[] = [];
  const tell = (span: Span) => {
    told.push(span);
    metrics.countSpan(span);
  };
  const { table } = new RunSpans(tell, () => "role");
  // the table pairs each type with its own event; TypeScript can't follow that through a union
  const hear = (one: CrewEvent) => (table[one.type] as ((event: CrewEvent) => void) | undefined)?.(one);
  const { spanId, runId } = event;
  if (before) hear({ ...before, spanId, runId });
  const named = { ...event, ...("model" in event ? { model: "provider/model" } : {}) };
  hear(named);
  if (named.type === "crew.task.attempt_finished") metrics.countUsage(named);
  return told;
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
