import { join, resolve } from "node:path";
import { findRegressions } from "../metrics/regression.ts";
import type { ScoreboardKey, ScoreboardRow } from "../metrics/scoreboard.ts";
import { findCrewRoot, prepareCrewRoot } from "../store/layout.ts";
import type { RunView } from "../store/run-store.ts";
import { importTasks } from "../store/task-import.ts";
import { RAW_DAYS, TaskMetrics, WEEK_MS } from "../store/task-metrics.ts";
import { runSampleOf } from "../store/task-run-sample.ts";
import { UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { pad, padBefore } from "../views/text-width.ts";
import { formatCount, formatDuration, formatUsd } from "../views/units.ts";

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

export function scoreboardKey(text: string): ScoreboardKey {
  const key = KEYS.find((it) => it === text);
  if (key) return key;
  throw new UserError(
    "bad-key",
    `There is nothing by ${JSON.stringify(text.slice(0, 40))}; there is ${KEYS.join(", ")}.`,
  );
}

/** The tasks kept of this project; those of a folder without any are none. */
export async function openTaskMetrics(world: World, cwd: string, agentDir: string): Promise<TaskMetrics> {
  return new TaskMetrics(world, (await findCrewRoot(world.files, cwd, agentDir)) ?? cwd);
}

/**
 * Adds the records of a file to those of this project; says what became of them. Throws a UserError, or the system's error when they can't be
 * written. */
export async function importTaskFile(world: World, cwd: string, agentDir: string, path: string): Promise<string> {
  const from = await world.files.realPath(resolve(cwd, path));
  if ((await world.files.facts(from))?.kind !== "file")
    throw new UserError("import", `There is no file ${from}: name one with a record of a task in each line.`);
  const crewRoot = await prepareCrewRoot(world.files, cwd, agentDir);
  const { imported, duplicates, badLines, tooOld } = await importTasks(world, crewRoot, from);
  return (
    `Imported ${imported} records of tasks into ${join(crewRoot, "metrics")}; ${duplicates} were there already, ` +
    `${tooOld} ended more than ${RAW_DAYS} days ago, ${badLines} lines hold no record.`
  );
}

const HEADS = ["tasks", "success", "p50", "p95", "tokens", "per success", "wasted"] as const;

/** How models, roles, teams or workflows did, as lines. */
export function renderScoreboard(rows: readonly ScoreboardRow[], by: ScoreboardKey): string[] {
  if (rows.length === 0) return ["No task has ended in that time."];
  const cells = rows.map((row) => [
    row.name,
    formatCount(row.count),
    `${Math.round(row.success_rate * 1000) / 10} %`,
    formatDuration(row.p50_seconds * 1000),
    formatDuration(row.p95_seconds * 1000),
    formatCount(row.tokens),
    row.cost_per_success === null ? "–" : formatUsd(row.cost_per_success),
    formatUsd(row.wasted_cost_usd),
  ]);
  const table = [[by, ...HEADS], ...cells];
  const widths = table[0]?.map((_, at) => Math.max(...table.map((line) => line[at]?.length ?? 0))) ?? [];
  return table.map((line) =>
    line.map((cell, at) => (at === 0 ? pad(cell, widths[at] ?? 0) : padBefore(cell, widths[at] ?? 0))).join("  "),
  );
}

/** A sentence for each workflow whose newest runs are worse than those before. */
export function regressionsIn(views: readonly RunView[]): string[] {
  const workflows = new Set(views.map(({ manifest }) => manifest.workflow));
  return [...workflows].flatMap((workflow) => {
    const runs = views.filter(({ manifest }) => manifest.workflow === workflow);
    const samples = runs.flatMap(({ manifest, state }) => runSampleOf(manifest, state) ?? []);
    return findRegressions(workflow, samples).map(({ sentence }) => sentence);
  });
}
