import { UserError } from "../system/errors.ts";
import { renderDeadLetter, renderDeadLetters } from "../views/dead-letter-list.ts";
import { counted } from "../views/units.ts";
import type { Command, CommandCall } from "./commands.ts";
import { dialogLimit } from "./output.ts";
import { giveUpByHand } from "./record-dead-letter.ts";
import { dealtWith } from "./redrive.ts";
import type { Session } from "./session.ts";
import { splitWords } from "./words.ts";

const LISTED_MAX = 50;

const WITH_ONE =
  "/team-deadletters <id> shows one whole, /team-deadletters discard <id> puts it aside, /team-redrive <id> runs its task again.";
const USAGE = `/team-deadletters lists those that are open, /team-deadletters add <run> <task> makes one of a failed task. ${WITH_ONE}`;
/** Who looks here for failed tasks is told where they are. */
const ONLY_THESE =
  "A dead letter is a task that was retried in vain, whose worker fell silent, or that was given up by hand. " +
  "Any other failed task is only in its run: /team-status <run> shows it, /team-resume <run> goes on with a failed run, " +
  "/team-redrive <run> <task> runs one task again.";

const VERBS = ["show", "discard", "add"];

/** `/team-deadletters [[show] <id> | discard <id> | add <run> <task>]`: without words the open ones. */
export const deadLettersCommand: Command = async (call) => {
  const { session, args, width } = call;
  const { words } = splitWords(args, []);
  const [first, second, third] = words;
  if (first === undefined) return deadLetterText(session, width);
  if (words.length === 1 && !VERBS.includes(first)) return show(call, first);
  if (words.length === 2 && second !== undefined && first === "show") return show(call, second);
  if (words.length === 2 && second !== undefined && first === "discard") return discard(call, second);
  if (words.length === 3 && second !== undefined && third !== undefined && first === "add")
    return giveUpByHand(session, second, third);
  throw new UserError("usage", `${JSON.stringify(args.slice(0, 60))} means nothing to /team-deadletters. ${USAGE}`);
};

async function show({ session, width }: CommandCall, id: string): Promise<string> {
  const letter = await (await session.runs()).deadLetters.find(id);
  return renderDeadLetter(letter, session.world.clock.now(), width).join("\n");
}

/** The open dead letters of the project, newest first, and what can be done with them. */
export async function deadLetterText(session: Session, width: number): Promise<string> {
  const { letters, bad, more } = await (await session.runs()).deadLetters.list({ limit: LISTED_MAX, openOnly: true });
  const lines = renderDeadLetters(letters, session.world.clock.now(), width);
  if (more) lines.push(`There are more than ${LISTED_MAX}; the newest are shown.`);
  if (bad > 0) lines.push(`${counted(bad, "line")} of deadletter.jsonl files could not be read.`);
  lines.push(letters.length === 0 ? ONLY_THESE : WITH_ONE);
  return lines.join("\n");
}

async function discard({ session, ctx }: CommandCall, id: string): Promise<string> {
  const { deadLetters } = await session.runs();
  const letter = await deadLetters.find(id);
  if (letter.status !== "open") throw dealtWith(letter);
  const what = `task ${letter.taskId} of run ${letter.runId}`;
  const question = `${letter.id}: ${what}, ${letter.reason}.`;
  if (ctx.hasUI && !(await ctx.ui.confirm("Discard the dead letter?", question, dialogLimit(ctx))))
    return `Dead letter ${letter.id} stays.`;
  if (!(await deadLetters.discard(letter))) throw dealtWith(await deadLetters.find(letter.id));
  return `Dead letter ${letter.id} of ${what} is discarded.`;
}
