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

/** `/team-deadletters [id | discard <id> | add <run> <task>]`: without words the open ones. */
export const deadLettersCommand: Command = async (call) => {
  const { session, args, width } = call;
  const [first, second, third] = splitWords(args, []).words;
  if (first === undefined) return deadLetterText(session, width);
  if (first === "discard" && second !== undefined) return discard(call, second);
  if (first === "add" && second !== undefined && third !== undefined) return giveUpByHand(session, second, third);
  if (second !== undefined || first === "discard" || first === "add")
    throw new UserError("usage", "Usage: /team-deadletters [id | discard <id> | add <run> <task>].");
  const letter = await (await session.runs()).deadLetters.find(first);
  return renderDeadLetter(letter, session.world.clock.now(), width).join("\n");
};

/** The open dead letters of the project, newest first. */
export async function deadLetterText(session: Session, width: number): Promise<string> {
  const { letters, bad, more } = await (await session.runs()).deadLetters.list({ limit: LISTED_MAX, openOnly: true });
  const lines = renderDeadLetters(letters, session.world.clock.now(), width);
  if (more) lines.push(`There are more than ${LISTED_MAX}; the newest are shown.`);
  if (bad > 0) lines.push(`${counted(bad, "line")} of deadletter.jsonl files could not be read.`);
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
