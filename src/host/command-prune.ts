import { applyExports, type ExportPlan, planExports } from "../store/old-exports.ts";
import { applyPrune, type PrunePlan, planPrune, readRunFacts } from "../store/retention.ts";
import { UserError } from "../system/errors.ts";
import { counted } from "../views/units.ts";
import type { Command } from "./commands.ts";
import { dialogLimit } from "./output.ts";
import { refuseStray, splitWords } from "./words.ts";

const DAYS_DEFAULT = 30;
const KEPT_DEFAULT = 20;
const LISTED_MAX = 20;

/**
 * `/team-prune [--days N] [--keep N] [--yes]`: shows which ended runs and which exports would go, and removes them when
 * the user agrees. Nothing is ever removed by itself.
 */
export const pruneCommand: Command = async ({ session, ctx, args }) => {
  const { words, options, flags } = splitWords(args, ["days", "keep"], ["yes"]);
  refuseStray(words, "Use: /team-prune [--days 30] [--keep 20] [--yes].");
  const policy = {
    olderThanDays: wholeNumber(options.get("days"), DAYS_DEFAULT, "days"),
    keepNewest: wholeNumber(options.get("keep"), KEPT_DEFAULT, "keep"),
  };
  const { store } = await session.runs();
  const { files, clock } = session.world;
  const plan = planPrune(await readRunFacts(files, store), policy, clock.now());
  const exported = await planExports(files, store.crewRoot, policy.olderThanDays, clock.now());
  const which = `ended more than ${policy.olderThanDays} days ago, the newest ${policy.keepNewest} kept`;
  if (plan.remove.length + exported.remove.length === 0)
    return `No run would go (${which}), and no export of that age.`;
  const shown = preview(plan, exported, which);
  const agreed =
    flags.has("yes") || (ctx.hasUI && (await ctx.ui.confirm("Remove all of this?", shown, dialogLimit(ctx))));
  const same = `/team-prune --days ${policy.olderThanDays} --keep ${policy.keepNewest} --yes`;
  if (!agreed) return `${shown}\nNothing was removed. ${same} removes them without asking.`;
  const runs = await applyPrune(files, store, plan);
  const gone = await applyExports(files, store.crewRoot, exported);
  const kept = [
    ...runs.skipped.map(({ runId, why }) => `${runId} stays: ${why}`),
    ...gone.skipped.map(({ name, why }) => `${name} stays: ${why}`),
  ];
  const removed = [counted(runs.removed.length, "run"), counted(gone.removed.length, "exported file")];
  const what = removed.filter((words) => !words.startsWith("0 ")).join(" and ") || "nothing";
  return [`Removed ${what}, ${sizeOf(runs.bytes + gone.bytes)}.`, ...kept].join("\n");
};

function preview(plan: PrunePlan, exported: ExportPlan, which: string): string {
  const lines: string[] = [];
  if (plan.remove.length > 0) {
    const runs = plan.remove.map((run) => `${run.runId}  ${run.status}  ${sizeOf(run.bytes)}`);
    lines.push(`${counted(runs.length, "run")}, ${sizeOf(plan.bytes)}, with their logs and dead letters:`);
    lines.push(...listed(runs));
  } else lines.push(`No run would go (${which}).`);
  if (exported.remove.length > 0) {
    const names = exported.remove.map(({ name, bytes }) => `exports/${name}  ${sizeOf(bytes)}`);
    lines.push(`${counted(names.length, "exported file")} of that age, ${sizeOf(exported.bytes)}:`, ...listed(names));
  }
  return lines.join("\n");
}

function listed(lines: readonly string[]): string[] {
  const more = lines.length - LISTED_MAX;
  return more > 0 ? [...lines.slice(0, LISTED_MAX), `and ${more} more`] : [...lines];
}

function sizeOf(bytes: number): string {
  return bytes < 100_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function wholeNumber(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback;
  if (/^\d+$/.test(text)) return Number(text);
  throw new UserError(
    "usage",
    `--${name} must be a whole number, 0 or more, not ${JSON.stringify(text.slice(0, 40))}: /team-prune --days 30 --keep 20.`,
  );
}
