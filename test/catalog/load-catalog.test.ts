import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type CatalogFolder, loadCatalog } from "../../src/catalog/load-catalog.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const agent = (description: string) => `---\ndescription: ${description}\n---\nGo.`;
const FOLDERS: CatalogFolder[] = [
  { origin: "package", root: "/pkg", holds: "crew" },
  { origin: "user", root: "/user", holds: "crew" },
  { origin: "project", root: "/work/.claude/agents", holds: "agents" },
  { origin: "project", root: "/work/.crew", holds: "crew" },
];

test("the later folder wins by name; a bad file leaves the earlier one; a disabled one removes it", async () => {
  const files = new MemoryFiles({
    "/pkg/agents/a.md": agent("package"),
    "/pkg/agents/b.md": agent("package"),
    "/pkg/agents/c.md": agent("package"),
    "/pkg/agents/d.md": agent("package"),
    "/user/agents/b.md": agent("user"),
    "/work/.claude/agents/c.md": agent("claude"),
    "/work/.crew/agents/b.md": "no frontmatter",
    "/work/.crew/agents/d.md": "---\nenabled: false\n---\n",
    "/work/.crew/agents/README.md": "# Our agents",
    "/work/.crew/agents/.hidden.md": "x",
    "/work/.crew/agents/flow.chain.md": "x",
  });
  const { agents, problems } = await loadCatalog(files, FOLDERS);
  const found = [...agents.values()].map(({ name, description, source }) => [name, description, source.origin]);
  expect(found).toEqual([
    ["a", "package", "package"],
    ["b", "user", "user"],
    ["c", "claude", "project"],
  ]);
  expect(problems.map(({ file }) => file)).toEqual(["/work/.crew/agents/b.md"]);
});

test("two files of one folder can't share a name", async () => {
  const files = new MemoryFiles({ "/user/agents/a.md": agent("1"), "/user/agents/b.md": `---\nname: a\n---\nGo.` });
  const { agents, problems } = await loadCatalog(files, FOLDERS);
  expect(agents.get("a")?.description).toBe("1");
  expect(problems.at(-1)).toMatchObject({ file: "/user/agents/b.md", severity: "error" });
});

test("unreadable folders and files, links out of a project, and what is no file", async () => {
  const files = new MemoryFiles({
    "/user/agents/a.md": agent("a"),
    "/user/agents/b.md": agent("b"),
    "/user/agents/folder.md/x": "x",
    "/etc/secret.md": agent("secret"),
    "/work/.crew/agents/real.md": agent("real"),
  });
  files.broken.set("/pkg/agents", "EACCES");
  files.broken.set("/user/agents/a.md", "EACCES");
  files.links.set("/work/.crew/agents/out.md", "/etc/secret.md");
  files.links.set("/work/.crew/agents/within.md", "real.md");
  files.links.set("/user/agents/linked.md", "/etc/secret.md");
  const { agents, problems } = await loadCatalog(files, FOLDERS);
  expect([...agents.keys()].sort()).toEqual(["b", "linked", "real", "within"]);
  expect(problems.map(({ file }) => file)).toEqual([
    "/pkg/agents",
    "/user/agents/a.md",
    "/user/agents/folder.md",
    "/work/.crew/agents/out.md",
  ]);
});

test("pi-crew's team and workflow files", async () => {
  const files = new MemoryFiles({
    "/user/agents/explorer.md": agent("x"),
    "/user/agents/writer.md": agent("x"),
    "/user/teams/research.team.md": `---
name: research
description: Research team
workflow: research
workspaceMode: worktree
triggers: research
---

Some words: with a colon.

- explorer: agent=explorer model=openai/gpt-5 map the codebase
- writer: agent=writer skills=a,b write
`,
    "/user/workflows/research.workflow.md": `---
name: research
description: Explore and write
topology: fan-in
---

Words before the steps.

## explore-core
role: explorer
parallelGroup: explore
output: false

Explore for: {goal}

## Not a step

Still the task.

\`\`\`md
## nor-this
role: writer
\`\`\`

## write
role: writer
dependsOn: explore-core
type: report
retry: 2
verify: test -s "report.md" # there

Write {outputs.explore-core}
`,
  });
  const { teams, workflows, problems } = await loadCatalog(files, FOLDERS);
  expect(teams.get("research")).toMatchObject({
    defaultWorkflow: "research",
    worktree: true,
    roles: [
      { role: "explorer", agent: "explorer", model: "openai/gpt-5" },
      { role: "writer", agent: "writer", model: null },
    ],
  });
  const steps = workflows.get("research")?.steps ?? [];
  expect(steps.map(({ id }) => id)).toEqual(["explore-core", "write"]);
  expect(steps[0]?.task).toMatch(/^Explore for: \{goal\}\n\n## Not a step[\s\S]*## nor-this\nrole: writer\n```$/);
  expect(steps[1]).toEqual({
    id: "write",
    role: "writer",
    task: "Write {outputs.explore-core}",
    dependsOn: ["explore-core"],
    kind: "pi",
    command: "",
    timeoutSec: null,
    retry: { maxAttempts: 2 },
    optional: false,
    reads: [],
    output: [],
    verify: 'test -s "report.md" # there',
    taskType: "report",
  });
  expect(problems.map(({ severity, line }) => [severity, line])).toEqual([
    ["warning", 11],
    ["warning", 12],
  ]);
});

test("steps as a list in the frontmatter give the same as sections", async () => {
  const list = `---
description: x
steps:
  - id: one
    role: r
    task: |
      Do
      {goal}
  - id: two
    kind: shell
    command: npm test
    depends_on: [one]
    timeout_sec: 1.5
    retry: { maxAttempts: 3 }
    optional: true
    reads: [a.txt]
  - { id: three, role: r, task: x, output: [b.txt] }
---
`.replace("    role: r\n    task", "    role: r\n    output: a.txt\n    task");
  const sections = `---
description: x
---
## one
role: r
output: a.txt

Do
{goal}

## two
kind: shell
command: npm test
dependsOn: one
timeoutSec: 1.5
retry: 3
optional: yes
reads: a.txt

## three
role: r
output: [b.txt]

x
`;
  const files = new MemoryFiles({
    "/user/workflows/list.workflow.md": list,
    "/user/workflows/sections.workflow.md": sections,
  });
  const { workflows, problems } = await loadCatalog(files, FOLDERS);
  expect(problems).toEqual([]);
  expect(workflows.get("list")?.steps).toEqual(workflows.get("sections")?.steps);
  expect(workflows.get("list")?.steps[1]).toMatchObject({ taskType: "shell", role: "", retry: { maxAttempts: 3 } });
});

test("the real files give the same catalog", async () => {
  const root = await mkdtemp(join(tmpdir(), "catalog-"));
  try {
    await writeFile(join(root, "a.md"), agent("x"));
    const { agents } = await loadCatalog(nodeFiles(), [{ origin: "project", root, holds: "agents" }]);
    expect([...agents.keys()]).toEqual(["a"]);
  } finally {
    await rm(root, { recursive: true });
  }
});
