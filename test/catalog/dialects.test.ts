import { expect, test } from "vitest";
import { parseAgent } from "../../src/catalog/parse-agent.ts";
import { Problems } from "../../src/catalog/problems.ts";
import type { AgentDefinition } from "../../src/runs/definitions.ts";

async function load(text: string, file = "/a/agents/some-agent.md") {
  const problems = new Problems(file);
  const parsed = await parseAgent(text, { origin: "user", file, contentHash: "0" }, problems);
  if (parsed.kind !== "definition") throw new Error(`${parsed.kind}: ${JSON.stringify(problems.list)}`);
  const agent: AgentDefinition = parsed.value;
  return { agent, warnings: problems.list.map(({ line, message }) => `${line}: ${message}`) };
}

test("pi-crew: false means inherit, csv lists, routing fields kept", async () => {
  const { agent, warnings } = await load(`---
name: explorer
description: Fast codebase explorer
model: false
fallbackModels: openai/gpt-5-mini, anthropic/claude-haiku-4-5
thinking: false
tools: read, grep, find, ls
extensions:
skills: safe-bash
systemPromptMode: replace
inheritProjectContext: true
inheritSkills: false
maxTurns: 12
memory: project
loadMode: lean
contextMode: fresh
triggers: auth, tests
useWhen: multi-file work
avoidWhen: one-line typo
cost: cheap
category: implementation
disabled: false
---

You explore.
`);
  expect(warnings).toEqual([]);
  expect(agent).toMatchObject({
    name: "explorer",
    model: null,
    fallbackModels: ["openai/gpt-5-mini", "anthropic/claude-haiku-4-5"],
    thinking: null,
    tools: ["read", "grep", "find", "ls"],
    skills: ["safe-bash"],
    maxTurns: 12,
    prompt: "You explore.",
  });
  expect({ ...agent.extra }).toMatchObject({ triggers: "auth, tests", cost: "cheap", inheritProjectContext: true });
});

test("pi-crew: skills switched off, skill and defaultTools as other names", async () => {
  const { agent } = await load("---\ndescription: x\ndefaultTools: read, bash\nskill: false\n---\nGo.");
  expect(agent).toMatchObject({ name: "some-agent", tools: ["read", "bash"], skills: [] });
  const { agent: silent } = await load("---\ndescription: x\ninheritSkills: false\n---\nGo.");
  expect(silent.skills).toEqual([]);
});

test("nicobailon: mcp tools left out, budgets kept", async () => {
  const { agent, warnings } = await load(`---
name: scout
package: code
aliases: [recon]
description: Fast codebase recon
tools: read, grep, find, ls, bash, mcp:chrome-devtools, subagent
model: anthropic/claude-haiku-4-5
fallbackModels: openai/gpt-5-mini
thinking: low
systemPromptMode: replace
inheritSkills: false
skills: safe-bash, chrome-devtools
turnBudget: { maxTurns: 20, graceTurns: 2 }
timeoutMs: 600000
async: true
isolation: worktree
maxSubagentDepth: 1
completionGuard: false
---
You are a scout.`);
  expect(agent.tools).toEqual(["read", "grep", "find", "ls", "bash", "subagent"]);
  expect(agent.thinking).toBe("low");
  expect(agent.model).toBe("anthropic/claude-haiku-4-5");
  expect(JSON.parse(JSON.stringify(agent.extra))).toMatchObject({
    aliases: ["recon"],
    turnBudget: { maxTurns: 20, graceTurns: 2 },
    completionGuard: false,
  });
  expect(warnings).toHaveLength(2);
  expect(warnings[0]).toMatch(/^6: The tool "mcp:chrome-devtools" is left out/);
  expect(warnings[1]).toMatch(/^6: The tool "subagent" is not one of Pi's own/);
});

test("tintinweb: snake_case, stars, no limit as 0", async () => {
  const { agent, warnings } = await load(
    `---
display_name: Security Auditor
description: Audits code
tools: *
disallowed_tools: write, Edit
model: opus
thinking: high
max_turns: 0
extensions: true
skills: true
prompt_mode: append
inherit_context: true
run_in_background: true
isolation: worktree
memory: project
color: red
enabled: true
---
You audit.`,
    "/p/agents/auditor.md",
  );
  expect(agent).toMatchObject({
    name: "auditor",
    tools: null,
    disallowedTools: ["write", "edit"],
    model: "opus",
    thinking: "high",
    maxTurns: null,
    skills: null,
  });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toMatch(/^4: This is not valid YAML/);
});

test("melihmucuk and pi-mono: the plain five fields", async () => {
  const { agent, warnings } = await load(`---
name: planner
description: Creates implementation plans
tools: read, grep, find, ls
model: claude-sonnet-4-5
thinking: medium
skills: planning
interactive: true
compaction: true
---
You plan.`);
  expect(warnings).toEqual([]);
  expect(agent).toMatchObject({
    name: "planner",
    model: "claude-sonnet-4-5",
    thinking: "medium",
    skills: ["planning"],
  });
});

test("Claude Code: tool names, inherit, colons in the description, what has no meaning here", async () => {
  const { agent, warnings } = await load(`---
name: Code Reviewer
description: Use this agent when code was written. Examples: <example>Context: The user wrote a function.\\nuser: "Check it"</example>
tools: Read, Write, Edit, MultiEdit, Bash, Grep, Glob, LS, WebFetch, mcp__github__get_issue, Agent(worker, researcher), Bash(git diff:*)
disallowedTools:
  - Bash(rm:*)
  - NotebookEdit
model: inherit
effort: max
permissionMode: acceptEdits
hooks:
  PreToolUse:
    - matcher: Bash
      hooks:
        - type: command
          command: ./check.sh
mcpServers: [github]
background: true
isolation: worktree
memory: user
color: purple
maxTurns: 30
---

You review.
`);
  expect(agent).toMatchObject({
    name: "code-reviewer",
    model: null,
    tools: ["read", "write", "edit", "bash", "grep", "find", "ls"],
    disallowedTools: ["bash"],
    thinking: "xhigh",
    maxTurns: 30,
  });
  expect(agent.description).toContain('Context: The user wrote a function.\nuser: "Check it"');
  expect(Object.keys(agent.extra)).toEqual(["background", "isolation", "memory", "color"]);
  const found = warnings.map((warning) => /^\d+: \S+ \S+ \S+/.exec(warning)?.[0]);
  expect(found).toEqual([
    "3: This is not",
    '2: The name "Code',
    "10: `permissionMode` has no",
    "11: `hooks` has no",
    "17: `mcpServers` has no",
    '4: The tool "WebFetch"',
    '4: The tool "mcp__github__get_issue"',
    '4: The tool "Agent(worker,',
    '4: The tool "Bash(git',
  ]);
});

test("lists may be csv, YAML or in brackets; quotes and CRLF do no harm", async () => {
  const forms = ["tools: read, bash", "tools: [read, bash]", "tools:\n  - read\n  - bash", 'tools: "read,bash"'];
  for (const form of forms) {
    const { agent } = await load(`\uFEFF---\ndescription: x\n${form}\n---\nGo.\n`.replaceAll("\n", "\r\n"));
    expect(agent.tools).toEqual(["read", "bash"]);
    expect(agent.prompt).toBe("Go.");
  }
  expect((await load("---\ndescription: x\ntools: none\n---\nGo.")).agent.tools).toEqual([]);
});

test("values stay as written, definitions are frozen, no field reaches a prototype", async () => {
  const { agent, warnings } = await load(
    "---\nname: a\ndescription: x\nmodel: 4.10\nnested: { __proto__: { polluted: 1 }, ok: [1] }\n__proto__: { polluted: 1 }\n---\nGo.",
  );
  expect(agent.model).toBe("4.10");
  expect(Object.isFrozen(agent) && Object.isFrozen(agent.extra) && Object.isFrozen(agent.source)).toBe(true);
  expect(JSON.stringify(agent.extra)).toBe('{"nested":{"ok":[1]}}');
  expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined();
  expect(warnings.map((it) => it.slice(0, 28))).toEqual([
    '5: The field "__proto__" is ',
    '6: The field "__proto__" is ',
  ]);
});
