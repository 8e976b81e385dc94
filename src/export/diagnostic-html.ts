import { createHash } from "node:crypto";
import { quantileOf } from "../metrics/quantile.ts";
import type { MetricSnapshot, SeriesLabels } from "../metrics/snapshot.ts";
import { safeText } from "../system/safe-text.ts";
import type { Diagnostic } from "./diagnostic.ts";

/** The page of a diagnostic: one file that loads nothing, runs nothing, and holds no markup of a stranger. */

type Task = Diagnostic["tasks"][number];
type Attempt = Task["attempts"][number];

const EVENTS_SHOWN_MAX = 200;
/** Whole width of the timeline's own units. */
const TIMELINE_UNITS = 1000;
const BAR_UNITS_MIN = 3;

const STYLE = `
:root{color-scheme:light dark;--ink:#1c2024;--dim:#60646c;--line:#e0e1e6;--card:#fff;--ground:#f6f7f9;--good:#18794e;--bad:#c62a2f;--warn:#ad5700;--live:#0b68cb}
@media (prefers-color-scheme:dark){:root{--ink:#edeef0;--dim:#a0a4ab;--line:#363a3f;--card:#1b1d20;--ground:#111214;--good:#4cc38a;--bad:#ff8589;--warn:#ffb26b;--live:#70b8ff}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1120px;padding:32px 24px 64px;background:var(--ground);color:var(--ink);font:14px/1.5 system-ui,sans-serif}
h1{font-size:22px;margin:0}h2{font-size:15px;margin:32px 0 8px}
p{margin:4px 0}.dim{color:var(--dim)}
code,pre,.n{font-family:ui-monospace,Menlo,Consolas,monospace;font-size:12.5px}
pre{margin:8px 0 0;padding:10px 12px;background:var(--ground);border:1px solid var(--line);border-radius:6px;white-space:pre-wrap;overflow-wrap:anywhere;max-height:420px;overflow:auto}
.card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:4px 14px;overflow-x:auto}
.goal{padding:10px 14px;margin-top:12px;white-space:pre-wrap;overflow-wrap:anywhere}
.facts{display:flex;flex-wrap:wrap;gap:12px;margin-top:16px}
.facts div{flex:1 1 120px;background:var(--card);border:1px solid var(--line);border-radius:8px;padding:8px 14px}
.facts b{display:block;font-size:18px;font-weight:600}
table{width:100%;border-collapse:collapse}
th,th.n{text-align:left;font:500 12.5px/1.5 system-ui,sans-serif;color:var(--dim)}th.n{text-align:right}
th,td{padding:6px 12px 6px 0;vertical-align:top;border-top:1px solid var(--line);overflow-wrap:anywhere}
tr:first-child>*{border-top:0}
.n{text-align:right;white-space:nowrap}.w{white-space:nowrap}.bar{width:60%}
.completed{color:var(--good)}.failed,.lost{color:var(--bad)}.blocked,.warn{color:var(--warn)}.running{color:var(--live)}.cancelled,.skipped,.waiting,.ready,.queued{color:var(--dim)}
svg{display:block;width:100%;height:18px}rect{fill:currentColor}.ground{fill:var(--line)}
pre+details,pre+p{margin-top:8px}summary{cursor:pointer}
`;
const POLICY = `default-src 'none'; style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'; base-uri 'none'; form-action 'none'`;

export function diagnosticHtml(diagnostic: Diagnostic): string {
  const { run, runId } = diagnostic;
  const sections: [string, string][] = [
    ["Tasks", tasksTable(diagnostic)],
    ["Timeline", timeline(diagnostic)],
    ["Dead letters", deadLetters(diagnostic)],
    ["Events", events(diagnostic)],
    ["Metrics of the session that exported", metrics(diagnostic.metricsSnapshot ?? [])],
    ["Environment", pairs({ ...diagnostic.about, ...diagnostic.envRedacted })],
  ];
  const body = sections.map(([title, content]) => `<h2>${title}</h2>\n<div class="card">${content}</div>`);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Run ${esc(runId)}: ${esc(run.status)}</title>
<style>${STYLE}</style>
</head>
<body>
${head(diagnostic)}
${body.join("\n")}
</body>
</html>
`;
}

function head({ run, runId, tasks, exportedAt }: Diagnostic): string {
  const done = tasks.filter(({ status }) => status === "completed").length;
  const facts: [string, string][] = [
    ["status", `<span class="${esc(run.status)}">${esc(run.status)}</span>`],
    ["tasks completed", `${done} of ${tasks.length}`],
    ["time", run.startedAt === null ? "–" : seconds((run.endedAt ?? Date.parse(exportedAt)) - run.startedAt)],
    ["tokens", number(run.tokens)],
    ["cost", usd(run.costUsd)],
  ];
  const cards = facts.map(([name, value]) => `<div><span class="dim">${name}</span><b>${value}</b></div>`);
  const notes = [
    run.reason === null ? "" : `<p>Reason: ${esc(run.reason)}</p>`,
    run.degraded ? '<p class="warn">Part of the run’s log is unreadable; what is here is what could be read.</p>' : "",
    logCounts(run.health),
  ];
  return `<h1>${esc(run.team)}${run.workflow === run.team ? "" : ` / ${esc(run.workflow)}`}</h1>
<p class="dim"><code>${esc(runId)}</code> · created ${when(run.createdAt)} · exported ${when(Date.parse(exportedAt))}</p>
<div class="card goal">${esc(run.goal)}</div>
<div class="facts">${cards.join("")}</div>
${notes.join("")}`;
}

/** What was found amiss while the log was read; nothing in a healthy one. */
function logCounts({ bad, missing, torn, fenced, ignored }: Diagnostic["run"]["health"]): string {
  const counts = Object.entries({
    "damaged lines": bad,
    "missing events": missing,
    "lines cut off within the writing": torn,
    "lines of a former owner": fenced,
    "lines that came second": ignored,
  });
  const told = counts.flatMap(([what, count]) => (count > 0 ? `${what}: ${number(count)}` : []));
  return told.length === 0 ? "" : `<p class="dim">In the run’s log: ${told.join(" · ")}</p>`;
}

function tasksTable({ tasks, agents }: Diagnostic): string {
  const rows = tasks.map((task, at) => {
    const agent = agents[at];
    const error = "error" in task && task.error ? `<pre>${esc(`${task.error.kind}: ${task.error.message}`)}</pre>` : "";
    const title = `<b>${esc(task.taskId)}</b> <span class="dim">${esc(agent?.agent ?? agent?.workerKind ?? "")}</span>`;
    const time = "durationMs" in task && task.startedAt !== null ? seconds(task.durationMs) : "–";
    const sums = [time, number(task.tokens), usd(task.costUsd)];
    return row([`${title}${error}${task.attempts.map(attempt).join("")}`, status(task.status), ...sums.map(cell)]);
  });
  return table(["task", "status", "time", "tokens", "cost"], rows);
}

function attempt(one: Attempt): string {
  if (one.status === "running")
    return `<p class="running">attempt ${one.attempt}: running as pid ${one.pid ?? "–"}</p>`;
  const facts = [one.model ?? "", seconds(one.durationMs), one.failureKind ?? ""].filter((fact) => fact !== "");
  const words = [one.error ? `${one.error.kind}: ${one.error.message}` : "", one.summary].filter((text) => text !== "");
  const line = `attempt ${one.attempt}: <span class="${esc(one.outcome)}">${esc(one.outcome)}</span> <span class="dim">${esc(facts.join(" · "))}</span>`;
  if (words.length === 0) return `<p>${line}</p>`;
  return `<details><summary>${line}</summary><pre>${esc(words.join("\n\n"))}</pre></details>`;
}

function timeline({ run, tasks, exportedAt }: Diagnostic): string {
  const start = run.startedAt;
  if (start === null) return "<p>The run was not started.</p>";
  const now = run.endedAt ?? Date.parse(exportedAt);
  const unit = Math.max(1, now - start) / TIMELINE_UNITS;
  const bar = (one: Attempt) => {
    const end = one.status === "ended" ? one.endedAt : now;
    const x = Math.max(0, Math.min(TIMELINE_UNITS - BAR_UNITS_MIN, Math.round((one.startedAt - start) / unit)));
    const width = Math.max(BAR_UNITS_MIN, Math.min(TIMELINE_UNITS - x, Math.round((end - one.startedAt) / unit)));
    const outcome = one.status === "ended" ? one.outcome : one.status;
    return `<g class="${esc(outcome)}"><rect x="${x}" y="2" width="${width}" height="14"/></g>`;
  };
  const rows = tasks.map((task) => {
    const ground = `<rect class="ground" x="0" y="8" width="${TIMELINE_UNITS}" height="2"/>`;
    const view = `viewBox="0 0 ${TIMELINE_UNITS} 18" preserveAspectRatio="none" role="img" aria-label="${task.attempts.length} attempts"`;
    const begun = task.attempts[0] ? `+${seconds(task.attempts[0].startedAt - start)}` : "–";
    return `<tr><td class="w">${esc(task.taskId)}</td>${cell(begun)}<td class="bar"><svg ${view}>${ground}${task.attempts.map(bar).join("")}</svg></td></tr>`;
  });
  return table(["task", "began", ""], rows);
}

function deadLetters({ deadLetters: letters }: Diagnostic): string {
  const rows = letters.map(({ id, taskId, reason, attempts, status: state, lastError, timestamp }) => {
    const error = lastError ? `<pre>${esc(`${lastError.kind}: ${lastError.message}`)}</pre>` : "";
    const what = `<b>${esc(taskId)}</b> <code class="dim">${esc(id)}</code>${error}`;
    return row([what, status(reason), status(state), cell(number(attempts)), when(Date.parse(timestamp))]);
  });
  return rows.length === 0 ? "<p>None.</p>" : table(["task", "reason", "state", "attempts", "at"], rows);
}

function events({ recentEvents }: Diagnostic): string {
  const shown = recentEvents.slice(-EVENTS_SHOWN_MAX);
  const rows = shown.map(({ v: _v, runId: _run, traceId: _t, spanId: _s, parentSpanId: _p, ...event }) => {
    const { seq, ts, type, epoch: _e, taskId = "", attempt: nth, ...fields } = event;
    const place = nth === undefined ? taskId : `${taskId} #${nth}`;
    return row([cell(number(seq)), when(ts), esc(type), esc(place), `<code>${esc(JSON.stringify(fields))}</code>`]);
  });
  const count = `the newest ${shown.length}; the JSON beside this page has ${recentEvents.length}`;
  return `<details><summary>${count}</summary>${table(["no", "at", "event", "task", "fields"], rows)}</details>`;
}

function metrics(snapshot: readonly MetricSnapshot[]): string {
  const rows = snapshot.flatMap((metric) =>
    metric.kind === "histogram"
      ? metric.series
          .filter(({ count }) => count > 0)
          .map((series) => {
            const at = (q: number) => {
              const { value, over } = quantileOf(metric, series, q);
              return `${over ? "> " : ""}${number(value)}`;
            };
            const value = `${number(series.count)} × p50 ${at(0.5)} p95 ${at(0.95)}`;
            return row([name(metric, series.labels), cell(value), metric.unit]);
          })
      : metric.series
          .filter(({ value }) => value !== 0)
          .map(({ labels, value }) => row([name(metric, labels), cell(number(value)), metric.unit])),
  );
  return rows.length === 0 ? "<p>Nothing is counted.</p>" : table(["metric", "value", "unit"], rows);
}

function name({ name: metric }: MetricSnapshot, labels: SeriesLabels): string {
  const told = Object.entries(labels).map(([label, value]) => `${label}=${value}`);
  return `<code>${esc(metric)}</code> <span class="dim">${esc(told.join(" "))}</span>`;
}

function pairs(values: Readonly<Record<string, string>>): string {
  return table(
    [],
    Object.entries(values).map(([key, value]) => row([`<code>${esc(key)}</code>`, esc(value)])),
  );
}

function table(heads: readonly string[], rows: readonly string[]): string {
  const numbers = /^(?:time|tokens|cost|attempts|began|value|no)$/;
  const cells = heads.map((text) => `<th${numbers.test(text) ? ' class="n"' : ""}>${text}</th>`).join("");
  return `<table>${heads.length === 0 ? "" : `<tr>${cells}</tr>`}${rows.join("\n")}</table>`;
}

/** `cell` has made the numbers' cells already. */
function row(cells: readonly string[]): string {
  return `<tr>${cells.map((text) => (text.startsWith("<td") ? text : `<td>${text}</td>`)).join("")}</tr>`;
}

function cell(text: string): string {
  return `<td class="n">${esc(text)}</td>`;
}

function status(text: string): string {
  return `<td class="w ${esc(text)}">${esc(text)}</td>`;
}

function when(ms: number): string {
  return `<span class="w">${Number.isFinite(ms) ? new Date(ms).toISOString().replace("T", " ").slice(0, 19) : "–"}</span>`;
}

function seconds(ms: number): string {
  return ms < 60_000
    ? `${(ms / 1000).toFixed(1)} s`
    : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1000)} s`;
}

function number(value: number): string {
  return Number.isFinite(value) ? value.toLocaleString("en-US", { maximumFractionDigits: 2 }) : "–";
}

function usd(value: number): string {
  const isTiny = value > 0 && value < 0.01;
  const digits = isTiny ? { maximumSignificantDigits: 2 } : { minimumFractionDigits: 2, maximumFractionDigits: 4 };
  return `$${value.toLocaleString("en-US", digits)}`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Of a stranger's text only what prints, and none of it as markup. */
function esc(text: string): string {
  return safeText(text, { multiline: true }).replace(/[&<>"']/g, (char) => ENTITIES[char] ?? "");
}
