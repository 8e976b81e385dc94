import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const HEARTBEAT = { warnMs: 20_000, staleMs: 40_000, deadMs: 90_000 };
const RETRY_POLICY = { maxAttempts: 3, backoffMs: 100, jitterRatio: 0, exponentialFactor: 1, maxDelayMs: 1000 };
const BEGUN_WITH = {
  limits: { maxTokens: 1_000_000, attemptTimeoutSec: 600 },
  reliability: { autoRetry: true, retryPolicy: RETRY_POLICY, heartbeat: HEARTBEAT, autoRecover: true },
  otlp: { headers: { authorization: "Bearer abc-secret" } },
};
/** With it, the run would not get far. */
const SINCE = { limits: { maxTokens: 1 }, reliability: { autoRetry: false, autoRecover: true } };

const CONFIG = {
  limits: { attemptTimeoutSec: 600, maxCostUsd: null, maxTokens: 1_000_000, maxDurationMs: null },
  reliability: { autoRetry: true, retryPolicy: { ...RETRY_POLICY, retryableErrors: [] }, heartbeat: HEARTBEAT },
};

const FILES = {
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does what it is told\n---\nYou are HAND.\n",
  ".crew/teams/solo.team.md":
    "---\nname: solo\ndescription: one step\ndefaultWorkflow: solo\nroles:\n  hand: hand\n---\n",
  ".crew/workflows/solo.workflow.md": "---\nname: solo\ndescription: one step\n---\n\n## a\nrole: hand\n\nSTEP:a\n",
};

/** A project with a team of one step, which waits for `finish` and fails so many times. */
async function project(failures: number) {
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((done) => {
    finish = done;
  });
  let left = failures;
  const rig = await makeRig(
    async () => {
      await finished;
      return left-- > 0 ? { status: 500, error: "down" } : { text: "a is done" };
    },
    { files: FILES },
  );
  const configure = (config: object) => writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(config));
  await configure(BEGUN_WITH);
  return { rig, finish, configure };
}

const asked = (rig: Rig) => rig.server.requests.length;

async function manifestOf(rig: Rig, runId: string) {
  return JSON.parse(await readFile(join(runFolder(rig.agentFolder.project, runId), "manifest.json"), "utf8"));
}

async function endOf(rig: Rig, runId: string) {
  const last = async () => (await eventsOf(rig.agentFolder.project, runId)).at(-1)?.type ?? "";
  await waitUntil(async () => /^crew\.run\.(completed|failed|cancelled)$/.test(await last()), 30_000);
  return await eventsOf(rig.agentFolder.project, runId);
}

describe("the configuration a run was begun with", () => {
  it("governs it under the next owner, whose own differs", async () => {
    const { rig, finish, configure } = await project(2);
    const first = await rig.rpc({ extensions: [PACKAGE] });
    await first.command('/team-run solo "go"');
    await waitUntil(() => asked(rig) === 1, 30_000);
    first.kill("SIGKILL");
    await first.exit;
    await configure(SINCE);
    await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const adopted = async () => ofType(await eventsOf(rig.agentFolder.project, runId), "crew.subagent.adopted").length;
    await waitUntil(async () => (await adopted()) === 1, 30_000);
    finish();
    const events = await endOf(rig, runId);
    expect(ofType(events, "crew.run.claimed")).toHaveLength(2);
    expect(events.at(-1)?.type).toBe("crew.run.completed");
    expect(asked(rig)).toBe(3);
    const manifest = await manifestOf(rig, runId);
    expect(manifest.config).toEqual(CONFIG);
    expect(JSON.stringify(manifest)).not.toContain("abc-secret");
  });

  it("governs it in a process of its own", async () => {
    const { rig, finish, configure } = await project(3);
    finish();
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.command("/team-status");
    await configure(SINCE);
    await host.command('/team-run --background solo "go"');
    const [runId = ""] = await runIds(rig.agentFolder.project);
    expect((await endOf(rig, runId)).at(-1)).toMatchObject({ type: "crew.run.failed", reason: "a failed" });
    expect(asked(rig)).toBe(3);
    expect((await manifestOf(rig, runId)).config).toEqual(CONFIG);
  });

  it("gives way to today's in a run that continues it", async () => {
    const { rig, finish, configure } = await project(4);
    finish();
    const first = await rig.rpc({ extensions: [PACKAGE] });
    await first.command('/team-run solo "go"');
    const [runId = ""] = await runIds(rig.agentFolder.project);
    await endOf(rig, runId);
    expect(await say(first, "/team-settings limits.attemptTimeoutSec 300")).toContain("for runs begun from then on");
    expect(await say(first, "/team-settings http.port 100")).toMatch(/from the next session on \(\/reload\)\.$/);
    await first.close();

    await configure({ limits: { attemptTimeoutSec: 300 } });
    const next = await rig.rpc({ extensions: [PACKAGE] });
    const resumed = await sayToEnd(next, `/team-resume ${runId}`);
    expect(resumed.ended).toContain("failed");
    expect(asked(rig)).toBe(4);
    const redriven = await sayToEnd(next, `/team-redrive ${resumed.runId} a`);
    expect(redriven.ended).toContain("completed");
    for (const continued of [resumed.runId, redriven.runId]) {
      const { limits, reliability } = (await manifestOf(rig, continued)).config;
      expect(limits).toEqual({ attemptTimeoutSec: 300, maxCostUsd: null, maxTokens: null, maxDurationMs: null });
      expect(reliability).toMatchObject({ autoRetry: false, retryPolicy: { backoffMs: 1000 } });
      const meta = join(runFolder(rig.agentFolder.project, continued), "tasks/a/a0001/meta.json");
      expect(JSON.parse(await readFile(meta, "utf8"))).toMatchObject({ request: { timeoutSec: 300 } });
    }
  });
});
