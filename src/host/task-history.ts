import { join, resolve } from "node:path";
import type { ScoreboardKey, ScoreboardRow } from "../metrics/scoreboard.ts";
import type { TaskAggregate } from "../metrics/task-window.ts";
import { keptRoot, prepareCrewRoot } from "../store/layout.ts";
import { importTasks } from "../store/task-import.ts";
import { RAW_DAYS, TaskMetrics, WEEK_MS } from "../store/task-metrics.ts";
import { UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { columns, pad, padBefore } from "../views/text-width.ts";
import { counted, formatCount, formatDuration, formatUsd } from "../views/units.ts";

const UNITS_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const KEYS: readonly ScoreboardKey[] = ["model", "role", "team", "workflow"];

/** `90m`, `24h`, `7d` as milliseconds; seven days when nothing is said. Throws a UserError for anything else. */
export function windowOf(text: string | null | undefined): number {
  if (text === null || text === undefined || text === "") return WEEK_MS;
  const [, count, unit = ""] = /^(\d{1,5})([mhd])$/.exec(text) ?? [];
  const ms = Number(count) * (UNITS_MS[unit] ?? 0);
  if (ms > 0) return ms;
  throw new UserError(
    "bad-window",
    `${JSON.stringify(text.slice(0, 40))} is no window: use a number and m, h or d, such as 24h.`,
  );
}

/** One key or several with commas between, each once, in the order given. Throws a UserError for anything else. */
export function scoreboardKeys(text: string): ScoreboardKey[] {
  const keys = text.split(",").map((name) => KEYS.find((it) => it === name.trim()));
  if (!keys.includes(undefined)) return [...new Set(keys as ScoreboardKey[])];
  throw new UserError(
    "bad-key",
    `There is nothing by ${JSON.stringify(text.slice(0, 40))}; there is ${KEYS.join(", ")}, or several with commas.`,
  );
}

/** The tasks kept of this project; those of a folder without any are none. */
export async function openTaskMetrics(world: World, cwd: string, agentDir: string): Promise<TaskMetrics> {
  return new TaskMetrics(world, await keptRoot(world.files, cwd, agentDir));
}

/**
 * Adds the records of a file to those of this project; says what became of them. Throws a UserError, or the system's error when they can't be
 * written. */
export async function importTaskFile(world: World, cwd: string, agentDir: string, path: string): Promise<string> {
  const from = await world.files.realPath(resolve(cwd, path));
  const kind = (await world.files.facts(from))?.kind;
  const found = kind === "directory" ? `${from} is a folder` : `There is no file ${from}`;
  if (kind !== "file") throw new UserError("import", `${found}: name a file with a record of a task in each line.`);
  const crewRoot = await prepareCrewRoot(world.files, cwd, agentDir);
  const { imported, duplicates, badLines, tooOld, future } = await importTasks(world, crewRoot, from);
  return (
    `Imported ${counted(imported, "record")} of tasks into ${join(crewRoot, "metrics")}; ${duplicates} were there already, ` +
    `${tooOld} ended more than ${RAW_DAYS} days ago, ${future} in the future, ${counted(badLines, "line")} without a record.`
  );
}

const NOTHING = "No task has ended in that time.";
const HEADS = ["tasks", "success", "p50", "p95", "tokens", "per success", "wasted"] as const;

/** How models, roles, teams or workflows did, as lines. */
export function renderScoreboard(rows: readonly ScoreboardRow[], by: readonly ScoreboardKey[]): string[] {
  if (rows.length === 0) return [NOTHING];
  const cells = rows.map((row) => [
    row.name,
    formatCount(row.count),
    percent(row.success_rate),
    formatDuration(row.p50_seconds * 1000),
    formatDuration(row.p95_seconds * 1000),
    formatCount(row.tokens),
    row.cost_per_success === null ? "–" : formatUsd(row.cost_per_success),
    formatUsd(row.wasted_cost_usd),
  ]);
  return tableOf([[by.join(" · "), ...HEADS], ...cells]);
}

/** How the tasks of a window of time went, as lines: together, by the type of task, by the model. */
export function renderAggregate({ success_rate, execution_time, by_task_type, by_model }: TaskAggregate): string[] {
  const { completed, failed, total, rate } = success_rate;
  if (total === 0) return [NOTHING];
  const { p50_seconds, p95_seconds } = execution_time;
  const took = `p50 ${formatDuration(p50_seconds * 1000)}, p95 ${formatDuration(p95_seconds * 1000)}`;
  const types = Object.entries(by_task_type).map(([name, of]) => {
    return [name || "none", ...[of.count, of.completed, of.failed].map(formatCount), percent(of.success_rate)];
  });
  const models = Object.entries(by_model).map(([name, { count, avg_duration }]) => {
    return [name || "none", formatCount(count), formatDuration(avg_duration * 1000)];
  });
  return [
    `success ${percent(rate)}: ${completed} completed, ${failed} failed, ${total} in all; ${took}`,
    "",
    ...tableOf([["task type", "tasks", "completed", "failed", "success"], ...types]),
    "",
    ...tableOf([["model", "tasks", "average"], ...models]),
  ];
}

function percent(rate: number): string {
  return `${Math.round(rate * 1000) / 10} %`;
}

function tableOf(table: readonly (readonly string[])[]): string[] {
  const widths = table[0]?.map((_, at) => Math.max(...table.map((line) => columns(line[at] ?? "")))) ?? [];
  return table.map((line) =>
    line.map((cell, at) => (at === 0 ? pad(cell, widths[at] ?? 0) : padBefore(cell, widths[at] ?? 0))).join("  "),
  );
}
