import { applyPrune, type PrunePlan, planPrune, readRunFacts } from "../store/retention.ts";
import { UserError } from "../system/errors.ts";
import type { Command } from "./commands.ts";
import { splitWords } from "./words.ts";

const DAYS_DEFAULT = 30;
const KEPT_DEFAULT = 20;
const LISTED_MAX = 20;

/**
 * `/team-prune [--days N] [--keep N] [--yes]`: shows which ended runs would go, and removes them when the user agrees.
 * Nothing is ever removed by itself.
 */
export const pruneCommand: Command = async ({ session, ctx, args }) => {
  const { options } = splitWords(args.replace(/(^|\s)--yes(\s|$)/, " "), ["days", "keep"]);
  const policy = {
    olderThanDays: wholeNumber(options.get("days"), DAYS_DEFAULT, "days"),
    keepNewest: wholeNumber(options.get("keep"), KEPT_DEFAULT, "keep"),
  };
  const { store } = await session.runs();
  const { files, clock } = session.world;
  const plan = planPrune(await readRunFacts(files, store), policy, clock.now());
  const which = `ended more than ${policy.olderThanDays} days ago, the newest ${policy.keepNewest} kept`;
  if (plan.remove.length === 0) return `No run would go (${which}).`;
  const agreed =
    /(^|\s)--yes(\s|$)/.test(args) || (ctx.hasUI && (await ctx.ui.confirm("Remove these runs?", preview(plan))));
  if (!agreed) return `${preview(plan)}\nNothing was removed. /team-prune --yes removes them without asking.`;
  const { removed, bytes, skipped } = await applyPrune(files, store, plan);
  const kept = skipped.map(({ runId, why }) => `${runId} stays: ${why}`);
  return [`Removed ${removed.length} ${removed.length === 1 ? "run" : "runs"}, ${megabytes(bytes)}.`, ...kept].join(
    "\n",
  );
};

function preview({ remove, bytes }: PrunePlan): string {
  const lines = remove.slice(0, LISTED_MAX).map((run) => `${run.runId}  ${run.status}  ${megabytes(run.bytes)}`);
  if (remove.length > LISTED_MAX) lines.push(`and ${remove.length - LISTED_MAX} more`);
  return [
    `${remove.length} ${remove.length === 1 ? "run" : "runs"}, ${megabytes(bytes)}, with their logs and dead letters:`,
    ...lines,
  ].join("\n");
}

function megabytes(bytes: number): string {
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}

function wholeNumber(text: string | undefined, fallback: number, name: string): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (Number.isInteger(value) && value >= 0) return value;
  throw new UserError(
    "usage",
    `--${name} must be a whole number, not ${JSON.stringify(text)}: /team-prune --days 30 --keep 20.`,
  );
}
