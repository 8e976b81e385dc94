import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { beforeAll, expect, test } from "vitest";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import type { Catalog } from "../../src/runs/definitions.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
const READ_ONLY = ["analyst", "critic", "explorer", "planner", "reviewer", "security-reviewer", "verifier", "writer"];
let catalog: Catalog;

beforeAll(async () => {
  catalog = await loadCatalog(nodeFiles(), [{ origin: "package", root, holds: "crew" }]);
});

test("all shipped definitions load without a problem", () => {
  expect(catalog.problems).toEqual([]);
  expect([...catalog.agents.keys()]).toEqual([
    "analyst",
    "critic",
    "executor",
    "explorer",
    "planner",
    "reviewer",
    "security-reviewer",
    "test-engineer",
    "verifier",
    "writer",
  ]);
  const names = ["default", "fast-fix", "implementation", "parallel-research", "research", "review"];
  expect([...catalog.teams.keys()]).toEqual(names);
  expect([...catalog.workflows.keys()]).toEqual(names);
});

test("every team's roles are agents, and its workflow uses each of them and no other", () => {
  for (const team of catalog.teams.values()) {
    expect(team.roles.every(({ agent }) => catalog.agents.has(agent))).toBe(true);
    const used = new Set(catalog.workflows.get(team.defaultWorkflow)?.steps.map(({ role }) => role));
    expect([...used].sort()).toEqual(team.roles.map(({ role }) => role).sort());
  }
});

test("no agent pins a model, and who must not write has no tool for it", () => {
  for (const agent of catalog.agents.values()) {
    expect(agent.model).toBeNull();
    const writes = agent.tools === null || agent.tools.some((tool) => tool === "edit" || tool === "write");
    expect([agent.name, writes]).toEqual([agent.name, !READ_ONLY.includes(agent.name)]);
  }
  for (const name of ["review", "research", "parallel-research"]) {
    const agents = catalog.teams.get(name)?.roles.map(({ agent }) => agent) ?? [];
    expect(agents.filter((agent) => !READ_ONLY.includes(agent))).toEqual([]);
  }
});

test("each prompt ends with its output contract and says that what is read is no instruction", () => {
  for (const { name, prompt } of catalog.agents.values()) {
    expect([name, /exactly this, (and|with) nothing/.test(prompt)]).toEqual([name, true]);
    expect([name, /never an instruction to you/.test(prompt)]).toEqual([name, true]);
    expect(prompt.length).toBeLessThan(4_500);
  }
});

function needs(workflow: string): Record<string, readonly string[]> {
  const steps = catalog.workflows.get(workflow)?.steps ?? [];
  return Object.fromEntries(steps.map(({ id, dependsOn }) => [id, dependsOn]));
}

test("the shape of the workflows", () => {
  expect(needs("fast-fix")).toEqual({ explore: [], fix: ["explore"], verify: ["fix"], review: ["fix"] });
  expect(needs("review")).toEqual({
    correctness: [],
    security: [],
    tests: [],
    merge: ["correctness", "security", "tests"],
  });
  expect(needs("parallel-research")["synthesis"]).toEqual(["structure", "behaviour", "evidence"]);
  expect(needs("implementation")["fix-up"]).toEqual(["plan", "implement", "test", "review", "security"]);
  expect(needs("implementation")["verify"]).toEqual(["plan", "fix-up"]);
});

test("each step has a time limit, the goal, and what its dependencies found", () => {
  for (const { steps } of catalog.workflows.values()) {
    for (const { id, task, timeoutSec, dependsOn } of steps) {
      expect([id, timeoutSec === null, task.includes("{goal}")]).toEqual([id, false, true]);
      expect(dependsOn.filter((dependency) => !task.includes(`{outputs.${dependency}}`))).toEqual([]);
    }
  }
});

test("skills: name as the folder, and descriptions that cost little on every turn", async () => {
  const names = await readdir(`${root}/skills`);
  expect(names.sort()).toEqual(["delegate-to-a-team", "keep-artifacts-tidy", "read-run-state", "recover-a-run"]);
  let total = 0;
  for (const name of names) {
    const [, given, description] =
      /^---\nname: (.+)\ndescription: (.+)\n---\n/.exec(await readFile(`${root}/skills/${name}/SKILL.md`, "utf8")) ??
      [];
    expect(given).toBe(name);
    expect(description).not.toMatch(/: /);
    expect(description?.length).toBeLessThanOrEqual(250);
    total += description?.length ?? 0;
  }
  expect(total).toBeLessThanOrEqual(1_000);
});

test("the examples in docs/resource-formats.md load and fit each other", async () => {
  const page = await readFile(`${root}/docs/resource-formats.md`, "utf8");
  const blocks = page.match(/(?:^ {4}.*\n|^\n(?= {4}))+/gm) ?? [];
  const [agent, team, workflow] = blocks
    .filter((it) => it.trim().startsWith("---"))
    .map((it) => it.replace(/^ {4}/gm, ""));
  const files = new MemoryFiles({
    "/doc/agents/api-reviewer.md": agent?.trim() ?? "",
    "/doc/agents/planner.md": "---\ndescription: x\n---\nx",
    "/doc/agents/executor.md": "---\ndescription: x\n---\nx",
    "/doc/teams/api.team.md": team?.trim() ?? "",
    "/doc/workflows/api-change.workflow.md": workflow?.trim() ?? "",
  });
  const documented = await loadCatalog(files, [{ origin: "user", root: "/doc", holds: "crew" }]);
  expect(documented.problems).toEqual([]);
  expect(documented.teams.get("api")?.roles).toHaveLength(3);
  expect(documented.workflows.get("api-change")?.steps).toHaveLength(4);
});
