import { type Conversation, call, lastTestRun, type Move, say, type ToolOutput } from "./conversation.ts";
import { executorReport, explorerReport, reviewerReport, verifierReport } from "./script-reports.ts";

/**
 * The four workers of the shipped workflow fast-fix. Their words are scripted, their tool calls are real, and what they
 * report hangs on what the tools really said.
 */

const file = "src/join-meetings.js";
const wrong = "last.end = meeting.end;";
const right = "last.end = Math.max(last.end, meeting.end);";

const edgeCases = `node --input-type=module -e '
import { freeSlots } from "./src/free-slots.js";
const day = { from: "08:00", to: "18:00" };
const show = (...meetings) => console.log(JSON.stringify(freeSlots(meetings.map(([from, to]) => ({ from, to })), day)));
show(["09:00", "09:00"]);
show(["10:00", "11:00"], ["09:00", "16:00"], ["12:00", "13:00"]);
show(["07:00", "19:00"], ["09:00", "10:00"]);
'`;
/** What edgeCases prints when the bug is gone. */
const edgeCasesExpected = [
  '[{"from":"08:00","to":"09:00"},{"from":"09:00","to":"18:00"}]',
  '[{"from":"08:00","to":"09:00"},{"from":"16:00","to":"18:00"}]',
  "[]",
];

export function explorer({ turn, results }: Conversation): Move {
  if (turn === 0)
    return say(
      "The symptom: a slot is reported free while a long meeting goes on. I look for what computes free slots.",
      call("grep", { pattern: "freeSlots|joinMeetings", path: "src" }),
    );
  if (turn === 1) {
    const how = results.at(-1)?.isError
      ? "grep is not available here, so I open the files themselves"
      : "freeSlots walks over what joinMeetings gives it; I open both, and the test";
    const paths = ["src/free-slots.js", file, "test/free-slots.test.js"];
    return say(`${how}.`, ...paths.map((path) => call("read", { path })));
  }
  return say(explorerReport(file, lineOf(results, wrong), wrong));
}

export function executor({ turn, results }: Conversation, { withoutFix }: { withoutFix: boolean }): Move {
  if (turn === 0)
    return say(
      "I read the line in question and see the test fail before I change anything.",
      call("read", { path: file }),
      call("bash", { command: "node --test" }),
    );
  const edited = withoutFix || results.some(({ tool }) => tool === "edit");
  if (!edited)
    return say(
      "Confirmed: the second meeting ends earlier, and its end replaces the later one. The joined end is the later of both.",
      call("edit", { path: file, edits: [{ oldText: wrong, newText: right }] }),
    );
  if (turn === (withoutFix ? 1 : 2))
    return say(
      withoutFix ? "The edit is left out on purpose (--without-fix)." : "Now the same tests again, and my own diff.",
      call("bash", { command: "node --test" }),
      call("bash", { command: "git diff" }),
    );
  return say(executorReport(file, lastTestRun(results), withoutFix));
}

export function verifier({ turn, results }: Conversation): Move {
  if (turn === 0)
    return say(
      "Reports are claims. I look at the change and run the tests myself.",
      call("bash", { command: "git status --short && git diff HEAD" }),
      call("bash", { command: "node --test" }),
    );
  if (turn === 1)
    return say(
      "Cases nobody mentioned: an empty meeting, two short ones within a long one in any order, one longer than the day.",
      call("bash", { command: edgeCases }),
    );
  const printed = results.at(-1)?.text ?? "";
  return say(
    verifierReport(
      lastTestRun(results),
      edgeCasesExpected.every((line) => printed.includes(line)),
    ),
  );
}

export function reviewer({ turn, results }: Conversation): Move {
  if (turn === 0)
    return say(
      "I read the change, then the whole function.",
      call("bash", { command: "git status --short && git diff HEAD" }),
      call("read", { path: file }),
    );
  if (turn === 1)
    return say(
      "Who calls it, and is the same mistake made elsewhere?",
      call("bash", { command: "grep -rn 'joinMeetings\\|\\.end' src" }),
    );
  const code = results.findLast(({ tool }) => tool === "read");
  const diff = results.find(({ tool }) => tool === "bash");
  const changed = [...(diff?.text.matchAll(/^diff --git a\/(\S+)/gm) ?? [])].map((match) => match[1] ?? "");
  return say(
    reviewerReport({
      file,
      line: code ? lineOf([code], "last.end =") : null,
      fixed: code?.text.includes(right) ?? false,
      changed: diff && !diff.isError ? changed : null,
    }),
  );
}

/** Of the first result that holds the text, a file as it was read; counted from 1. */
function lineOf(results: readonly ToolOutput[], text: string): number | null {
  const found = results.find(({ tool, text: content }) => tool === "read" && content.includes(text));
  return found ? found.text.split("\n").findIndex((line) => line.includes(text)) + 1 : null;
}
