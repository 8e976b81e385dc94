import { expect, test } from "vitest";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const ROOT = "/home/crew";
const AGENT = "---\ndescription: x\n---\nGo.";
const TEAM = "---\nname: t\ndescription: x\ndefaultWorkflow: w\nroles:\n  r: a\n---\n";
const WORKFLOW = "---\ndescription: x\n---\n\n## one\nrole: r\n\nDo {goal}\n";
const GOOD = { "agents/a.md": AGENT, "teams/t.team.md": TEAM, "workflows/w.workflow.md": WORKFLOW };

async function problemsOf(changes: Record<string, string>) {
  const texts = Object.entries({ ...GOOD, ...changes }).map(([name, text]) => [`${ROOT}/${name}`, text] as const);
  const files = new MemoryFiles(Object.fromEntries(texts));
  const catalog = await loadCatalog(files, [{ origin: "user", root: ROOT, holds: "crew" }]);
  const found = catalog.problems.map(
    (it) => `${it.severity} ${it.file.slice(ROOT.length + 1)}:${it.line} ${it.message}`,
  );
  return { catalog, found };
}

test("good files have no problems", async () => {
  const { catalog, found } = await problemsOf({});
  expect(found).toEqual([]);
  expect([catalog.agents.size, catalog.teams.size, catalog.workflows.size]).toEqual([1, 1, 1]);
  expect(catalog.agents.get("a")?.source.contentHash).toMatch(/^[0-9a-f]{64}$/);
});

const deep = `---\ndescription: ${"[".repeat(200)}${"]".repeat(200)}\n---\nx`;
const bomb = `---\ndescription: x\na: &a [1,1,1,1,1,1,1,1,1,1]\n${"bcdefgh"
  .split("")
  .map((it, index) => `${it}: &${it} [${Array(10).fill(`*${"abcdefg"[index]}`).join(",")}]`)
  .join("\n")}\n---\nx`;

const aliases = `---\ndescription: x\na: &a 1\nb: [${"*a,".repeat(20_000)}]\n---\nx`;
const unreadable = `---\n${"[".repeat(60_000)}\n---\nx`;

const agents: [string, string, RegExp][] = [
  ["no frontmatter", "You are an agent.", /^error \S+:1 The file has no frontmatter/],
  ["frontmatter not closed", "---\nname: b\n", /^error \S+:1 The frontmatter that starts here is never closed/],
  ["bad YAML", '---\nname: b\ndescription: "x\n---\nGo.', /^error \S+:\d The frontmatter is not valid YAML here/],
  [
    "bad YAML in brackets",
    "---\nname: b\ndescription: x\ntools: [read\n---\nGo.",
    /^error \S+:[45] The frontmatter is not/,
  ],
  ["not a mapping", "---\n- a\n- b\n---\nGo.", /^error \S+:2 The frontmatter is not a list of fields/],
  ["a field twice", "---\nname: b\ndescription: x\nname: c\n---\nGo.", /^error \S+:4 The field "name" is given twice/],
  [
    "two spellings",
    "---\ndescription: x\nmaxTurns: 1\nmax_turns: 2\n---\nGo.",
    /^warning \S+:4 "max_turns" is ignored/,
  ],
  [
    "an unusable name",
    "---\nname: ！！\ndescription: x\n---\nGo.",
    /^error \S+:2 The name "！！" can't be used: use a-z/,
  ],
  ["a name as list", "---\ndescription: x\nmodel: [a]\n---\nGo.", /^warning \S+:3 `model` is a list and is ignored/],
  [
    "a bad number",
    "---\ndescription: x\nmaxTurns: many\n---\nGo.",
    /^warning \S+:3 `maxTurns` is "many" and is ignored/,
  ],
  ["a bad flag", "---\ndescription: x\nenabled: maybe\n---\nGo.", /^warning \S+:3 `enabled` is "maybe" and is ignored/],
  [
    "a bad level",
    "---\ndescription: x\nthinking: hard\n---\nGo.",
    /^warning \S+:3 The thinking level "hard" is ignored/,
  ],
  ["a list as mapping", "---\ndescription: x\ntools: {a: 1}\n---\nGo.", /^warning \S+:3 `tools` is a mapping/],
  ["no description", "---\nname: b\n---\nGo.", /^warning \S+:1 "b" has no `description`/],
  ["no prompt", "---\nname: b\ndescription: x\n---\n", /^warning \S+:5 The agent "b" has no prompt/],
  [
    "too large a frontmatter",
    `---\nx: ${"y".repeat(70_000)}\n---\n`,
    /^error \S+:1 The frontmatter has \d+ characters/,
  ],
  ["too large a file", `---\ndescription: x\n---\n${"y".repeat(2 ** 20)}`, /^error \S+:1 The file has \d+ bytes/],
  ["nested too deep", deep, /^error \S+:2 The frontmatter is nested deeper/],
  ["an alias bomb", bomb, /^error \S+:\d+ The frontmatter stands for more than 10000 values/],
  ["very many aliases", aliases, /^error \S+:4 The frontmatter stands for more than 10000 values/],
  ["too deep for the parser", unreadable, /^error \S+:2 .*it is nested too deeply/],
  ["an unknown alias", "---\ndescription: x\na: *nowhere\n---\nGo.", /^error \S+:3 This alias has no anchor/],
];
test.each(agents)("agent: %s", async (_, text, expected) => {
  const { catalog, found } = await problemsOf({ "agents/b.md": text });
  expect(found.join("\n")).toMatch(expected);
  expect(catalog.agents.has("a") && catalog.teams.has("t")).toBe(true);
  expect(catalog.agents.has("b")).toBe(!expected.source.startsWith("^error"));
});

const teams: [string, string, RegExp][] = [
  [
    "an unknown agent",
    TEAM.replace("r: a", "r: nobody"),
    /^error \S+:6 The role "r" names the agent "nobody".*use one of a\./,
  ],
  [
    "an unknown workflow",
    TEAM.replace(": w", ": z"),
    /^error \S+:4 The default workflow "z" is not there.*use one of w\./,
  ],
  [
    "a role missing",
    TEAM.replace("r: a", "q: a"),
    /^error \S+:4 The step "one" of the workflow "w" asks for the role "r"/,
  ],
  ["no roles", TEAM.replace("roles:\n  r: a\n", ""), /^error \S+:1 The team has no roles/],
  ["roles as text", TEAM.replace("roles:\n  r: a", "roles: r"), /^error \S+:5 `roles` is "r"/],
  ["a bad role name", TEAM.replace("r: a", "R R: a"), /^error \S+:6 The role "R R" can't be used/],
  [
    "a role twice",
    `${TEAM.replace("roles:\n  r: a\n", "")}- r: agent=a\n- r: agent=a\n`,
    /^error \S+:7 The role "r" is given twice/,
  ],
  ["an unknown setting", TEAM.replace("r: a", "r: { agent: a, skills: x }"), /^warning \S+:6 "skills" of the role "r"/],
  [
    "a bad number",
    TEAM.replace("roles", "maxConcurrency: 0\nroles"),
    /^warning \S+:5 `maxConcurrency` is "0".*from 1 to 64/,
  ],
  ["a bad name", TEAM.replace("name: t", "name: My Team"), /^error \S+:2 The name "My Team" can't be used/],
];
test.each(teams)("team: %s", async (_, text, expected) => {
  const { catalog, found } = await problemsOf({ "teams/t.team.md": text });
  expect(found).toHaveLength(1);
  expect(found[0]).toMatch(expected);
  expect(catalog.teams.has("t")).toBe(!expected.source.startsWith("^error"));
  expect(catalog.workflows.has("w")).toBe(true);
});

const two = (second: string) => `${WORKFLOW}\n## two\n${second}\n`;
const workflows: [string, string, RegExp][] = [
  ["no steps", "---\ndescription: x\n---\nDo it.", /^error \S+:1 The workflow "v" has no steps/],
  ["an id twice", `${WORKFLOW}\n## one\nrole: r\n\nAgain.`, /^error \S+:10 The step id "one" is given twice/],
  [
    "a bad id",
    two("role: r\n\nx").replace("## two", "## Step Two"),
    /^error \S+:10 The step id "Step Two" can't be used/,
  ],
  [
    "an unknown dependency",
    two("role: r\ndependsOn: won\n\nx"),
    /^error \S+:12 The step "two" depends on "won".*one of one, two/,
  ],
  ["itself", two("role: r\ndependsOn: two\n\nx"), /^error \S+:12 The step "two" depends on itself/],
  [
    "a cycle",
    `${two("role: r\ndependsOn: three\n\nx")}\n## three\nrole: r\ndependsOn: two\n\nx\n`,
    /^error \S+:12 The steps wait for each other \(two → three → two\)/,
  ],
  ["no role", two("timeoutSec: 5\n\nx"), /^error \S+:10 The step "two" has no role/],
  ["no task", two("role: r"), /^error \S+:10 The step "two" has no task/],
  ["shell without command", two("kind: shell"), /^error \S+:11 The step "two" is of kind shell and has no command/],
  ["git without command", two("kind: git"), /^error \S+:11 The step "two" is of kind git and has no command/],
  ["an unknown kind", two("kind: bash\nrole: r\n\nx"), /^error \S+:11 The kind "bash" is unknown/],
  [
    "a command without kind",
    two("role: r\ncommand: ls\n\nx"),
    /^warning \S+:12 The command of the step "two" is ignored/,
  ],
  [
    "a goal in a command",
    two("kind: shell\ncommand: echo {goal}"),
    /^error \S+:12 Nothing is filled into a command, .*: instead of \{goal\} write "\$FOREMAN_GOAL"/,
  ],
  [
    "an output in verify",
    two("role: r\nverify: test {outputs.one-a}\n\nx"),
    /^error \S+:12 Nothing is filled .* instead of \{outputs\.one-a\} write "\$FOREMAN_OUTPUT_ONE_A"/,
  ],
  [
    "a git command that is none",
    two("kind: git\ncommand: push origin main"),
    /^error \S+:12 A git step begins with one of add, .*, not with "push": use kind shell/,
  ],
  ["an open quote in git", two("kind: git\ncommand: commit -m 'x"), /^error \S+:12 A quote is open/],
  [
    "outputs of no dependency",
    two("role: r\n\nSee {outputs.one}"),
    /^error \S+:10 .*uses \{outputs\.one\}.*add "one" to its/,
  ],
  [
    "outputs of no step",
    two("role: r\ndependsOn: one\n\n{outputs.won}"),
    /^error \S+:10 .*\{outputs\.won\}.*use one of one\./,
  ],
  ["output instead of outputs", two("role: r\ndependsOn: one\n\n{output.one}"), /^warning \S+:10 .*write \{outputs/],
  [
    "reads nothing",
    two("role: r\nreads: plan.md\n\nx"),
    /^error \S+:12 The step "two" reads "plan.md".*name it in the `output`/,
  ],
  [
    "reads from no dependency",
    `${two("role: r\noutput: plan.md\n\nx")}\n## three\nrole: r\nreads: plan.md\n\nx`,
    /^error \S+:18 The step "three" reads "plan.md".*add "two"/,
  ],
  ["an artifact outside", two("role: r\noutput: ../x\n\nx"), /^error \S+:12 The step "two" hands over "\.\.\/x"/],
  [
    "an artifact twice",
    `${two("role: r\noutput: p\n\nx")}\n## three\nrole: r\noutput: q, p\n\nx`,
    /^error \S+:18 The step "three" hands over "p", as "two" \(line 12\) does, .*: rename one\.$/,
  ],
  [
    "an artifact twice, one after the other",
    `${two("role: r\noutput: p\n\nx")}\n## three\nrole: r\ndependsOn: two\noutput: p\n\nx`,
    /^error \S+:19 The step "three" hands over "p", as "two" \(line 12\) does/,
  ],
  ["a key twice", two("role: r\nrole: r\n\nx"), /^error \S+:12 The key "role" is given twice/],
  ["a bad number", two("role: r\ntimeoutSec: soon\n\nx"), /^warning \S+:12 `timeoutSec` is "soon"/],
  ["a bad retry", two("role: r\nretry: 99\n\nx"), /^warning \S+:12 `retry` is "99"/],
  ["a foreign key", two("role: r\nparallelGroup: a\n\nx"), /^warning \S+:12 "parallelGroup" has no effect/],
  ["a mistyped key", two("role: r\ndependOn: one\n\nx"), /^warning \S+:12 "dependOn" is not a key of a step/],
  ["verify as a flag", two("role: r\nverify: true\n\nx"), /^warning \S+:12 `verify` names no command/],
  [
    "a step that hands over more files than an event tells of",
    WORKFLOW.replace("role: r", `role: r\noutput: [${Array.from({ length: 101 }, (_, at) => `f${at}`)}]`),
    /^error \S+:\d+ The step "one" hands over 101 files, more than 100: have it pack them into one\.$/,
  ],
  [
    "a type that is a text",
    WORKFLOW.replace("role: r", `role: r\ntype: ${"x".repeat(300_000)}`),
    /^error \S+:\d+ The type "x{80}…" has 300000 characters, more than 64: it is a label of metrics, shorten it\.$/,
  ],
  ["steps as text", "---\ndescription: x\nsteps: one\n---\n", /^error \S+:3 `steps` is "one"/],
  ["a step as text", "---\ndescription: x\nsteps:\n  - one\n---\n", /^error \S+:4 This step is a scalar/],
  [
    "both forms",
    WORKFLOW.replace("description: x", "description: x\nsteps:\n  - { id: z, role: r, task: x }"),
    /^warning \S+:7 The sections are ignored/,
  ],
];
test.each(workflows)("workflow: %s", async (_, text, expected) => {
  const { catalog, found } = await problemsOf({ "workflows/v.workflow.md": text });
  expect(found[0]).toMatch(expected);
  expect(catalog.workflows.has("v")).toBe(!expected.source.startsWith("^error"));
  expect(catalog.workflows.has("w") && catalog.teams.has("t")).toBe(true);
});

test("what a terminal would act on does not get into a message", async () => {
  const { found } = await problemsOf({ "teams/t.team.md": TEAM.replace("r: a", 'r: "\\e[31m\\u009b1mred\\u202e"') });
  expect(found[0]).toContain("\\u001b[31m?1mred?");
  expect(found.join("")).not.toMatch(/\p{Cc}|\u202e/u);
});
