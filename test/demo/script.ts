import { type Conversation, call, type Move, say } from "./conversation.ts";
import { executor, explorer, reviewer, verifier } from "./script-workers.ts";

/** What the demo's user asks; sent by the demo itself. */
export const prompt = "A test of this project fails. Let the team fast-fix find the cause and fix it.";

const goal =
  '`npm test` fails: in test/free-slots.test.js the test "a short meeting within a long one leaves no gap" gets a free ' +
  "slot while the room is taken. Fix the cause in src/, leave the tests as they are; done when `node --test` exits 0.";

export interface ScriptOptions {
  /** The executor leaves its edit out: shows that the demo, the verifier and the tests notice. */
  withoutFix: boolean;
}

type Player = (conversation: Conversation, options: ScriptOptions) => Move;

/** Who speaks, by the first words of the shipped agents' prompts. */
const players: readonly [opening: RegExp, player: Player][] = [
  [/^You are an explorer\b/m, explorer],
  [/^You are an executor\b/m, executor],
  [/^You are a verifier\b/m, verifier],
  [/^You are a reviewer\b/m, reviewer],
];

/** The next reply of whoever is asked. Every reply says that it is scripted. */
export function play(conversation: Conversation, options: ScriptOptions): Move {
  const player = players.find(([opening]) => opening.test(conversation.system))?.[1] ?? mainAgent;
  const { text, calls } = player(conversation, options);
  // a report's first line must stay a line of its own
  const gap = /^(VERDICT|RESULT|##)/.test(text) ? "\n\n" : " ";
  return { text: `(scripted, no AI)${gap}${text}`, calls };
}

function mainAgent({ user, turn, results }: Conversation): Move {
  if (!/fast-fix/.test(user)) return say(`I am a script and can only play one thing. Say: ${prompt}`);
  if (turn === 0)
    return say(
      "One bug with a clear symptom: that is work for the team fast-fix. I start it and wait for its end.",
      call("team", { action: "run", team: "fast-fix", goal }),
    );
  const report = results.at(-1);
  if (!report || report.isError) return say(`The team could not be run: ${report?.text ?? "no result came back"}`);
  const status = / · (completed|failed|cancelled) · /.exec(report.text)?.[1] ?? "not over";
  const verdicts = [...report.text.matchAll(/^--- (\w+) \(\w+\) ---$[\s\S]*?^VERDICT: (\S+)/gm)].map(
    ([, step, verdict]) => `${step} says "${verdict}"`,
  );
  return say(`The team's run is ${status}; ${verdicts.join(", ") || "it handed no verdict over"}.`);
}
