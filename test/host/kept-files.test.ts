import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, it } from "vitest";
import { stepOf } from "../support/diamond-team.ts";
import type { ModelRequest, Reply } from "../support/model-reply.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { say, sayToEnd } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const FILES = {
  ".crew/agents/hand.md": "---\nname: hand\ndescription: does it\ntools: bash\n---\nYou are HAND.\n",
  ".crew/teams/chain.team.md":
    "---\nname: chain\ndescription: chain\ndefaultWorkflow: chain\nroles:\n  hand: hand\n---\n",
  ".crew/workflows/chain.workflow.md": `---
name: chain
description: one makes a file, the others need it
---

## make
role: hand
output: notes/report.txt

STEP:make

## mid
role: hand
dependsOn: make

STEP:mid

## last
role: hand
dependsOn: mid
reads: notes/report.txt

STEP:last
`,
};

/** A run of the chain whose `broken` step fails, and what its steps are asked. */
async function chainRig() {
  const script = { broken: "mid", made: 0, atMid: () => undefined as unknown };
  const reply = (request: ModelRequest): Reply => {
    const step = stepOf(request) ?? "";
    if (step === "mid") script.atMid();
    if (step === script.broken) return { status: 400, error: "not now" };
    if (request.assistantTurns > 0) return { text: `${step}: ${request.lastToolText}` };
    const path = /- notes\/report\.txt: (\S+)/.exec(request.firstUserText)?.[1] ?? "nothing";
    if (step === "make") script.made += 1;
    const command = step === "make" ? "mkdir -p notes; echo reported > notes/report.txt" : `cat ${path}`;
    return step === "mid" ? { text: "mid is done" } : { tools: [{ name: "bash", args: { command } }] };
  };
  const rig = await makeRig(reply, { files: FILES, git: true });
  const { project } = rig.agentFolder;
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
  return { rig, host, script, project, ids: () => runIds(project) };
}

it("a file that was handed over outlives the run it was made in, through a chain of three", async () => {
  const { host, script, project, ids } = await chainRig();
  await host.command('/team-run chain "go"');
  const [a = ""] = await ids();
  await waitUntil(async () => (await eventsOf(project, a)).at(-1)?.type === "crew.run.failed", 30_000);
  script.broken = "last";
  const b = await sayToEnd(host, `/team-resume ${a}`);
  expect(b.ended).toContain("failed");
  rmSync(join(project, "notes"), { recursive: true });
  expect(await say(host, "/team-prune --days 0 --keep 1 --yes")).toContain("Removed 1 run");
  expect(await ids()).toEqual([b.runId]);
  script.broken = "none";
  const c = await sayToEnd(host, `/team-resume ${b.runId}`);
  expect(c.ended, c.said).toContain("completed");
  expect(script.made).toBe(1);
  const last = ofType(await eventsOf(project, c.runId), "crew.task.completed").at(-1);
  const [ended] = ofType(await eventsOf(project, c.runId), "crew.task.attempt_finished");
  expect(ended?.summary).toBe("last: reported");
  expect(last?.taskId).toBe("last");
  const own = join(runFolder(project, c.runId), "artifacts/notes/report.txt");
  expect(readFileSync(own, "utf8")).toBe("reported\n");
  const manifest = JSON.parse(readFileSync(join(runFolder(project, c.runId), "manifest.json"), "utf8"));
  expect(manifest.kept.make.artifacts).toMatchObject([{ name: "notes/report.txt", path: own }]);
  // nobody but the newest is needed any more
  expect(await say(host, "/team-prune --days 0 --keep 1 --yes")).toContain("Removed 1 run");
  expect(readFileSync(own, "utf8")).toBe("reported\n");
}, 90_000);

it("a file that is gone, or is another by now, is made again, which is said", async () => {
  const { host, script, project, ids } = await chainRig();
  await host.command('/team-run chain "go"');
  const [a = ""] = await ids();
  await waitUntil(async () => (await eventsOf(project, a)).at(-1)?.type === "crew.run.failed", 30_000);
  writeFileSync(join(runFolder(project, a), "artifacts/notes/report.txt"), "forged\n");
  script.broken = "none";
  const from = host.events.length;
  const b = await sayToEnd(host, `/team-resume ${a}`);
  expect(b.ended, b.said).toContain("completed");
  expect(script.made).toBe(2);
  const said = host.events.slice(from).map((event) => String(event["message"] ?? ""));
  expect(said.join("\n")).toContain(
    "What task make handed over is not there any more (notes/report.txt): it is done again.",
  );
  expect(await say(host, `/team-resume ${a}`)).toContain(`was done by run ${b.runId}`);
  writeFileSync(join(runFolder(project, b.runId), "artifacts/notes/report.txt"), "forged\n");
  const c = await sayToEnd(host, `/team-resume ${a}`);
  expect(c.ended, c.said).toContain("completed");
  expect(script.made, "what that run has done is not there any more, too").toBe(3);
}, 60_000);

it("a file of which no event tells is gone with the run's end", async () => {
  const { host, script, project, ids } = await chainRig();
  const planted = async () => {
    const [id = ""] = await ids();
    for (const name of ["orphan.txt", "notes/other.txt", "deep/er/x.txt"]) {
      const path = join(runFolder(project, id), "artifacts", name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, "left by a killed owner\n");
    }
  };
  let done: Promise<void> = Promise.resolve();
  script.atMid = () => {
    done = planted();
  };
  script.broken = "last";
  await host.command('/team-run chain "go"');
  const [a = ""] = await ids();
  await waitUntil(async () => (await eventsOf(project, a)).at(-1)?.type === "crew.run.failed", 30_000);
  await done;
  const artifacts = join(runFolder(project, a), "artifacts");
  await expect.poll(() => existsSync(join(artifacts, "orphan.txt"))).toBe(false);
  await expect.poll(() => readdirSync(artifacts)).toEqual(["notes"]);
  expect(readdirSync(join(artifacts, "notes"))).toEqual(["report.txt"]);
}, 60_000);
