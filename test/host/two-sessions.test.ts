import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { type GatedRun, gatedRig, gatedRun } from "../support/gated-run.ts";
import { processesVisible, waitUntil } from "../support/processes.ts";
import type { Rig } from "../support/rig.ts";
import type { DialogAnswer, HostEvent, RpcHost } from "../support/rpc-host.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const STEPS = ["a", "b", "c", "d"];

/** A run whose two middle tasks are at work. */
const midRun = async (): Promise<GatedRun> =>
  gatedRun(await gatedRig({ gated: ["b", "c"], config: { reliability: { autoRecover: true } } }));

const questions = (hosts: RpcHost[]): HostEvent[] =>
  hosts.flatMap((host) => host.events.filter((event) => event["method"] === "confirm"));

async function die(host: RpcHost): Promise<void> {
  host.kill("SIGKILL");
  await host.exit;
}

/** Two sessions that open at the same moment. */
function openTwo(rig: Rig, answerDialog: () => DialogAnswer | null): Promise<RpcHost[]> {
  return Promise.all([1, 2].map(() => rig.rpc({ extensions: [PACKAGE], answerDialog })));
}

/** What is true of a run that was taken over once, whoever did it. */
async function expectOneOwner({ asked, events }: GatedRun): Promise<void> {
  const told = await events();
  expect(told.at(-1)?.type).toBe("crew.run.completed");
  const claims = ofType(told, "crew.run.claimed");
  const accepted = claims.filter(({ epoch }, at) => claims.findIndex((claim) => claim.epoch === epoch) === at);
  expect(accepted.map(({ epoch }) => epoch)).toEqual([1, 2]);
  const owner = accepted.at(-1)?.owner.pid;
  expect(owner).not.toBe(accepted[0]?.owner.pid);
  expect(ofType(told, "crew.run.resumed")).toHaveLength(1);
  expect(
    ofType(told, "crew.subagent.adopted")
      .map(({ taskId }) => taskId)
      .sort(),
  ).toEqual(["b", "c"]);
  for (const step of STEPS) expect(asked(step), step).toBe(1);
}

const completed = async ({ events }: GatedRun) => (await events()).at(-1)?.type === "crew.run.completed";

describe.skipIf(!processesVisible)("two sessions of one project", () => {
  it("that open on an interrupted run at the same moment ask one question, and one of them takes it over", async () => {
    const scene = await midRun();
    await die(scene.host);
    const hosts = await openTwo(scene.rig, () => null);
    await waitUntil(() => questions(hosts).length > 0, 20_000);
    for (const host of hosts) await host.command("/team-status latest");
    const [question] = questions(hosts);
    for (const host of hosts) host.answer(String(question?.["id"]), { confirmed: true });
    await waitUntil(async () => ofType(await scene.events(), "crew.subagent.adopted").length === 2, 20_000);
    scene.open();
    await waitUntil(() => completed(scene), 30_000);
    expect(questions(hosts)).toHaveLength(1);
    await expectOneOwner(scene);
  }, 120_000);

  it("that both say yes at once still give it one owner", async () => {
    const scene = await midRun();
    await die(scene.host);
    const hosts = await openTwo(scene.rig, () => ({ confirmed: true }));
    await waitUntil(async () => ofType(await scene.events(), "crew.subagent.adopted").length === 2, 30_000);
    for (const host of hosts) await host.command("/team-status latest");
    scene.open();
    await waitUntil(() => completed(scene), 30_000);
    expect(questions(hosts)).toHaveLength(1);
    await expectOneOwner(scene);
  }, 120_000);

  it("that open after the one that was asking died ask again, once", async () => {
    const scene = await midRun();
    await die(scene.host);
    const asking = await scene.rig.rpc({ extensions: [PACKAGE], answerDialog: () => null });
    await waitUntil(() => questions([asking]).length === 1, 20_000);
    await die(asking);
    const hosts = await openTwo(scene.rig, () => null);
    await waitUntil(() => questions(hosts).length > 0, 20_000);
    for (const host of hosts) await host.command("/team-status latest");
    for (const host of hosts)
      for (const question of questions([host])) host.answer(String(question["id"]), { confirmed: true });
    await waitUntil(async () => ofType(await scene.events(), "crew.subagent.adopted").length === 2, 20_000);
    scene.open();
    await waitUntil(() => completed(scene), 30_000);
    expect(questions(hosts)).toHaveLength(1);
    await expectOneOwner(scene);
  }, 120_000);

  it("drive a run each, see both, and count their own alone", async () => {
    const { rig, asked } = await gatedRig({ gated: [] });
    const hosts = await openTwo(rig, () => null);
    await Promise.all(hosts.map((host, at) => host.command(`/team-run diamond "of session ${at}"`)));
    const { project } = rig.agentFolder;
    const ends = async () =>
      Promise.all((await runIds(project)).map(async (id) => (await eventsOf(project, id)).at(-1)?.type));
    await waitUntil(async () => (await ends()).join() === "crew.run.completed,crew.run.completed", 40_000);
    for (const step of STEPS) expect(asked(step), step).toBe(2);
    for (const host of hosts) {
      const list = (await host.command("/team-status")).notices.join("\n");
      expect(list.match(/completed +4\/4/g)).toHaveLength(2);
      const counts = (await host.command("/team-metrics crew.run.count")).notices.join("\n");
      expect(counts).toMatch(/crew\.run\.count\{status=completed[^}]*\}\s+1\b/);
    }
  }, 120_000);
});
