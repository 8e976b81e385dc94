import { describe, expect, it } from "vitest";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { buildManifest } from "../../src/host/build-manifest.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { runConfigOf } from "../../src/host/run-config.ts";
import { timeoutSecOf } from "../../src/runs/manifest.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const NOW = {
  runId: "run-1",
  createdAt: "2024-01-01T00:00:00.000Z",
  sessionId: "session",
  cwd: "/p",
  model: "provider/model",
  thinking: null,
  config: runConfigOf(DEFAULT_CONFIG),
};

const STEP = "## make\nrole: hand\n\nDo {goal}\n";

/** The manifest of one team with the steps given. */
async function built(steps: string, teamLines = "", goal = "it") {
  const files = new MemoryFiles({
    "/p/.crew/agents/hand.md": "---\nname: hand\ndescription: does it\n---\nYou are a hand.\n",
    "/p/.crew/teams/one.team.md": `---\nname: one\ndescription: one\n${teamLines}roles:\n  hand: hand\n---\n`,
    "/p/.crew/workflows/one.workflow.md": `---\nname: one\ndescription: one\n---\n\n${steps}`,
  });
  const catalog = await loadCatalog(files, [{ origin: "project", root: "/p/.crew", holds: "crew" }]);
  expect(catalog.problems.filter((problem) => problem.severity === "error")).toEqual([]);
  return buildManifest(catalog, { team: "one", workflow: null, goal, background: false }, NOW);
}

describe("a manifest", () => {
  it("is not made for a goal that would not be kept whole: its size, the limit and the remedy are told", async () => {
    await expect(built(STEP, "", "x".repeat(300_000))).rejects.toThrow(
      "The goal has 300000 characters; at most 100000 are kept. Put the details into a file and name it. Nothing was begun.",
    );
    expect((await built(STEP, "", "\u6a21".repeat(100_000))).goal).toHaveLength(100_000);
  });

  it("takes the time limit of the step, else the one configured, and the step's own attempts", async () => {
    const own = await built("## make\nrole: hand\ntimeoutSec: 60\nretry: 3\n\nDo {goal}\n");
    const plain = await built(STEP);
    const limits = [own, plain].map((manifest) => manifest.tasks.map((task) => timeoutSecOf(manifest, task)));
    expect(limits).toEqual([[60], [1800]]);
    expect([own, plain].map(({ tasks }) => tasks[0]?.retry)).toEqual([{ maxAttempts: 3 }, null]);
  });

  it("gives an agent to the kinds with a model only, and codex no model of Pi's", async () => {
    const command = await built("## make\nkind: shell\ncommand: make all\nverify: make test\n");
    expect(command.tasks[0]).toMatchObject({ kind: "shell", command: "make all", verify: "make test", agent: null });
    expect((await built("## make\nkind: git\ncommand: status\n")).tasks[0]).toMatchObject({ agent: null });
    const alone = await built("## make\nkind: codex\n\nDo {goal}\n");
    expect(alone.tasks[0]?.agent).toMatchObject({ name: "codex", prompt: "", models: [] });
    const inRole = await built("## make\nkind: codex\nrole: hand\n\nDo {goal}\n");
    expect(inRole.tasks[0]?.agent).toMatchObject({ name: "hand", models: ["codex/default"] });
  });

  it.each(["worktree: true\n", "workspaceMode: worktree\n"])("wants worktrees for a team with %j", async (line) => {
    expect((await built(STEP, line)).worktrees).not.toBeNull();
    expect((await built(STEP)).worktrees).toBeNull();
  });

  it("is refused when a command names a branch and the team makes none", async () => {
    const take = `${STEP}\n## take\nkind: git\ndependsOn: make\ncommand: merge {branches.make}\n`;
    expect((await built(take, "worktree: true\n")).tasks[1]?.command).toBe("merge {branches.make}");
    await expect(built(take)).rejects.toMatchObject({
      code: "no-branches",
      message: expect.stringMatching(/^step take of workflow one .* names a branch .* set worktree: true there\.$/),
    });
  });
});
