/** The command line of a step of kind `git`. */

/** What a step may do; what reaches another machine or rewrites history is left to kind shell. */
const subcommands =
  "add branch checkout commit diff log merge mv restore rm rev-parse show status switch tag worktree".split(" ");

/** The arguments of a git command line: words and quotes as in a shell, and nothing else of one. */
export function parseGitCommand(command: string): { args: string[] } | { problem: string } {
  const words = wordsOf(command);
  if (words === null) return { problem: `A quote is open in ${JSON.stringify(command.slice(0, 200))}: close it.` };
  const args = words[0] === "git" ? words.slice(1) : words;
  if (subcommands.includes(args[0] ?? "")) return { args };
  const found = args[0] === undefined ? "nothing" : JSON.stringify(args[0].slice(0, 64));
  return {
    problem: `A git step begins with one of ${subcommands.join(", ")}, not with ${found}: use kind shell for others.`,
  };
}

/** Null when a quote is not closed. */
function wordsOf(command: string): string[] | null {
  const words: string[] = [];
  const word = /\s*((?:'[^']*'|"(?:\\.|[^"\\])*"|\\.|[^\s'"\\])+)/gy;
  let at = 0;
  for (let found = word.exec(command); found; found = word.exec(command)) {
    at = word.lastIndex;
    words.push(
      (found[1] ?? "").replace(
        /'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)/g,
        (_all, single, double, escaped) => single ?? double?.replace(/\\(["\\])/g, "$1") ?? escaped,
      ),
    );
  }
  return command.slice(at).trim() === "" ? words : null;
}
