import { resolve } from "node:path";
import { expect, it } from "vitest";
import { inTurnFiles, teamReplies } from "../support/diamond-team.ts";
import { currentHost, hostAtLeast } from "../support/host-paths.ts";
import { makeRig } from "../support/rig.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

it("what a run's workers used is part of the session's own totals, where the host adds it up", async () => {
  const call = { action: "run", team: "diamond", goal: "go" };
  const rig = await makeRig(teamReplies(call), { files: inTurnFiles });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await host.prompt("let the team do it");
  const { data } = await host.send({ type: "get_session_stats" });
  const all = rig.server.requests;
  const own = all.filter(({ request }) => !request.firstUserText.includes("STEP:"));
  expect(own).toHaveLength(2);
  expect(all).toHaveLength(6);
  const result = host.events.find((event) => event.type === "tool_execution_end");
  expect(result?.["isError"]).toBe(false);
  // each reply of the model server costs the same
  const share = hostAtLeast(currentHost(), "0.87") ? all.length : own.length;
  expect(data.tokens.total / share).toBeCloseTo(110, 5);
  expect(data.cost / share).toBeCloseTo(0.00045, 8);
});

it("the model may ask for the metrics, too", async () => {
  const rig = await makeRig(teamReplies({ action: "metrics", glob: "crew.session.t*_count" }));
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await host.prompt("what did this take?");
  const result = host.events.find((event) => event.type === "tool_execution_end");
  expect(result?.["isError"]).toBe(false);
  expect(result?.["result"].content[0].text).toMatch(/crew\.session\.token_count.*mock\/mock-1/);
  expect(result?.["result"].content[0].text).not.toContain("crew.session.cost");
});
