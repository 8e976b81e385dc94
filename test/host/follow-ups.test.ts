import { resolve } from "node:path";
import { expect, it } from "vitest";
import { inTurnFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { makeRig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

async function runToEnd(host: RpcHost, command: string) {
  const [, runId] = /: run (\S+), 4 tasks/.exec(await say(host, command)) ?? [];
  const end = await host.waitFor((it) => it.type === "message_end" && it["message"].details?.runId === runId, 30_000);
  return { runId, ended: String(end["message"].content) };
}

it("what a run leaves open is shown at its end, and a command has it done", async () => {
  const words = 'RESULT: done\n\n## Changed\n- nothing\n\n## Left open\n- rename the "old" helper; $HOME stays\n';
  const rig = await makeRig(teamReplies({}, { d: () => ({ text: words }) }), { files: inTurnFiles });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  const { runId, ended } = await runToEnd(host, '/team-run diamond "tidy up"');
  expect(ended).toContain('suggested by d: - rename the "old" helper; $HOME stays');
  expect(ended).toContain(`/team-run --follow-up ${runId}`);
  expect(await say(host, `/team-run --follow-up ${runId} b`)).toContain("suggests nothing but by d");
  const lone = ["--follow-up", "--background --follow-up", "--follow-up=latest", "diamond --follow-up latest"];
  for (const slip of [...lone, "--follow-up latest --background"])
    expect(await say(host, `/team-run ${slip}`)).toMatch(/^--follow-up takes a run, .*\/team-status lists the runs\.$/);
  const next = await runToEnd(host, "/team-run --follow-up latest");
  expect(next.runId).not.toBe(runId);
  const asked = rig.server.requests.map(({ request }) => request).filter((request) => stepOf(request) === "a");
  expect(asked).toHaveLength(2);
  expect(asked[1]?.firstUserText).toContain('rename the "old" helper; $HOME stays');
  expect(asked[1]?.firstUserText).toContain("tidy up");
  expect(await runIds(rig.agentFolder.project)).toHaveLength(2);
});

it("a run of one step is said to have 1 task", async () => {
  const workflow = "---\nname: diamond\ndescription: one step\n---\n\n## a\nrole: hand\n\nSTEP:a\n";
  const files = { ...inTurnFiles, ".crew/workflows/diamond.workflow.md": workflow };
  const rig = await makeRig(teamReplies({}), { files });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  expect(await say(host, '/team-run diamond "go"')).toMatch(/: run \S+, 1 task\. \/team-status/);
});

it("a team that can't be used is named, not taken for the first word of a goal", async () => {
  const broken = "---\nname: big\ndescription: x\ndefaultWorkflow: diamond\nroles:\n  hand: nobody\n---\n";
  const files = { ...inTurnFiles, ".crew/teams/big.team.md": broken };
  const rig = await makeRig(() => ({ text: "never asked" }), { files });
  const host = await rig.rpc({ extensions: [PACKAGE] });
  const said = await say(host, "/team-run big first");
  expect(said).toContain('no team called "big"');
  expect(said).toMatch(/big\.team\.md:\d+: .*nobody/);
  for (const slip of ["diamnd", "diamondd", "dia_mond"])
    expect(await say(host, `/team-run ${slip} make it pass`)).toContain(`no team ${slip}. Did you mean diamond?`);
  for (const words of ["nosuch", 'nosuch "make it pass"'])
    expect(await say(host, `/team-run ${words}`)).toMatch(/no team called "nosuch".*default/s);
  expect(await runIds(rig.agentFolder.project).catch(() => [])).toEqual([]);
});
