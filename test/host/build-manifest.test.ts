import { describe, expect, it } from "vitest";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { buildManifest } from "../../src/host/build-manifest.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const NOW = {
  runId: "run-1",
  createdAt: "2024-01-01T00:00:00.000Z",
  sessionId: "session",
  cwd: "/p",
  model: "provider/model",
  thinking: null,
  attemptTimeoutSec: 1800,
};

const STEP = "## make\nrole: hand\n\nDo {goal}\n";

/** The manifest of one team with the steps given. */
async function built(steps: string, teamLines = "") {
  const files = new MemoryFiles({
    "/p/.crew/agents/hand.md": "---\nname: hand\ndescription: does it\n---\nYou are a hand.\n",
    "/p/.crew/teams/one.team.md": `---\nname: one\ndescription: one\n${teamLines}roles:\n  hand: hand\n---\n`,
    "/p/.crew/workflows/one.workflow.md": `---\nname: one\ndescription: one\n---\n\n${steps}`,
  });
  const catalog = await loadCatalog(files, [{ origin: "project", root: "/p/.crew", holds: "crew" }]);
  expect(catalog.problems.filter((problem) => problem.severity === "error")).toEqual([]);
  return buildManifest(catalog, { team: "one", workflow: null, goal: "it", background: false }, NOW);
}

describe("a manifest", () => {
  it("takes the time limit of the step, else the one configured, and the step's own attempts", async () => {
    const own = await built("## make\nrole: hand\ntimeoutSec: 60\nretry: 3\n\nDo {goal}\n");
    expect(own.tasks[0]).toMatchObject({ timeoutSec: 60, retry: { maxAttempts: 3 } });
    expect((await built(STEP)).tasks[0]).toMatchObject({ timeoutSec: 1800, retry: null });
  });

  it.each([
    ["kind shell", "## make\nkind: shell\ncommand: make\n", "step make of workflow one", "is of kind shell"],
    ["kind git", "## make\nkind: git\ncommand: status\n", "step make", "is of kind git"],
    ["kind codex", "## make\nkind: codex\n\nDo {goal}\n", "step make", "is of kind codex"],
    ["verify", "## make\nrole: hand\nverify: npm test\n\nDo {goal}\n", "step make", "has a verify command"],
    ["output", "## make\nrole: hand\noutput: a.md\n\nDo {goal}\n", "step make", "hands over files"],
  ])("is refused for %s, which would not be done", async (_name, steps, where, what) => {
    const refused = await built(steps).catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: "unsupported-step" });
    const { message } = refused as Error;
    expect(message).toContain(where);
    expect(message).toContain(what);
    expect(message).toMatch(/which this version can't run\. [A-Z].*\.$/);
  });

  it.each(["worktree: true\n", "workspaceMode: worktree\n"])("is refused for a team with %j", async (line) => {
    await expect(built(STEP, line)).rejects.toMatchObject({
      code: "unsupported-team",
      message: expect.stringMatching(/^Team one \(.*one\.team\.md\) wants a git worktree.* Remove worktree/),
    });
  });
});
