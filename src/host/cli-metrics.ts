import { keptRoot } from "../store/layout.ts";
import type { Unreadable } from "../store/task-metrics.ts";
import { UserError } from "../system/errors.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import type { World } from "../system/world.ts";
import { agentFolder, ENV } from "./config.ts";
import { RunAnswers } from "./run-answers.ts";
import { importTaskFile, renderAggregate, renderScoreboard, scoreboardKeys, windowOf } from "./task-history.ts";
import { refuseStray, splitWords } from "./words.ts";

type Print = (lines: readonly string[], stream?: 1 | 2) => void;

/**
 * The tasks kept of this project over all sessions; `--json` is what `/api/agent/metrics` answers, with `--by` the rows
 * of the scoreboard. Throws a UserError, also when there is something and none of it can be read.
 */
export async function metrics(world: World, cwd: string, text: string, print: Print): Promise<void> {
  const { words, options, flags } = splitWords(text, ["window", "by", "project", "import"], ["json"]);
  refuseStray(words, "Use: pi-foreman metrics [--window 24h] [--by model] [--json] [--import <file>].");
  const agentDir = agentFolder();
  const path = options.get("import");
  if (path !== undefined) return print([await importTaskFile(world, cwd, agentDir, path)]);
  const windowMs = windowOf(options.get("window"));
  const by = options.get("by");
  const keys = by === undefined ? null : scoreboardKeys(by);
  const redact = (await openRedactor({ files: world.files, env: ENV, agentDir })).text;
  const crewRoot = await keptRoot(world.files, cwd, agentDir);
  const { tasks, ...kept } = await answersOf(new RunAnswers(world, crewRoot, redact));
  const asked = { windowMs, project: options.get("project") ?? null };
  const aggregate = await tasks.aggregate(asked);
  const rows = keys && (await tasks.scoreboard({ ...asked, by: keys }));
  const lines = rows && keys ? renderScoreboard(rows, keys) : renderAggregate(aggregate);
  const unreadable = [...kept.unreadable, ...tasks.unreadable()];
  const told = unreadableNote(unreadable);
  if (told !== null && aggregate.success_rate.total === 0) throw new UserError("unreadable", told);
  print(flags.has("json") ? [JSON.stringify(rows ?? aggregate, null, 2)] : [...lines, ...kept.regressions]);
  if (told !== null) print([told], 2);
}

async function answersOf(answers: RunAnswers) {
  const [unreadable, regressions] = [await answers.unreadable(), await answers.regressions()];
  return { tasks: answers.tasks, unreadable, regressions };
}

function unreadableNote([first, ...more]: readonly Unreadable[]): string | null {
  if (!first) return null;
  const others = more.length > 0 ? `, nor can ${more.length} more` : "";
  return `${first.path} can't be read (${first.code})${others}: give this user the right to read it, then ask again.`;
}
