import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { gatedRig, gatedRun } from "../support/gated-run.ts";
import { waitUntil } from "../support/processes.ts";
import type { HostEvent, RpcHost } from "../support/rpc-host.ts";
import { ofType } from "../support/run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

/** Of a session that can be resumed: the host keeps one whose model has answered. */
async function keptSession(host: RpcHost): Promise<string> {
  await host.prompt("hello");
  return (await host.send({ type: "get_state" }))["data"].sessionFile;
}

it("a run is told of that a session of another folder does not go on with, and goes on when its folder is back", async () => {
  const gated = await gatedRig({ gated: ["a"] });
  const { rig, asked, open } = gated;
  const { project, home } = rig.agentFolder;
  const elsewhere = join(home, "elsewhere");
  await mkdir(elsewhere);
  const before = await rig.rpc({ projectFolder: elsewhere });
  const other = await keptSession(before);
  await before.close();
  const host = await rig.rpc({ extensions: [PACKAGE] });
  const own = await keptSession(host);
  const { runId, events } = await gatedRun(gated, { host });
  const told = (event: HostEvent) => event["method"] === "notify" && String(event["message"]).includes("was let go of");

  expect(await host.send({ type: "switch_session", sessionPath: other })).toMatchObject({ success: true });
  const notice = await host.waitFor(told, 20_000);
  expect(notice).toMatchObject({ notifyType: "warning" });
  expect(notice["message"]).toContain(`Run ${runId} of ${project} was let go of`);
  expect(ofType(await events(), "crew.run.claimed")).toHaveLength(1);

  expect(await host.send({ type: "switch_session", sessionPath: own })).toMatchObject({ success: true });
  await waitUntil(async () => ofType(await events(), "crew.subagent.adopted").length === 1, 20_000);
  open();
  await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.completed", 30_000);
  expect(host.events.filter(told)).toHaveLength(1);
  expect(asked("a")).toBe(1);
});
