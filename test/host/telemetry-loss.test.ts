import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";
import { tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const LOST =
  /OTLP: of the session that ended \S+, .*could not be sent to 127\.0\.0\.1:\d+ \(.*no answer before the session ended\)/;

/** With a collector that takes every request and answers none. */
async function hangingRig(): Promise<Rig> {
  const collector = await startCollector();
  collector.answer = () => "hang";
  const rig = await makeRig((request) => ({ text: `${stepOf(request) ?? "main"} is done` }), { files: inTurnFiles });
  const config = { otlp: { enabled: true, endpoint: collector.url } };
  await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(config));
  return rig;
}

it("Pi's end is not held up by a collector that hangs; the next session says once what was lost", async () => {
  const rig = await hangingRig();
  const host = await rig.rpc({ extensions: [PACKAGE] });
  await say(host, '/team-run diamond "count"');
  const [runId = ""] = await runIds(rig.agentFolder.project);
  await waitUntil(async () => {
    const events = await eventsOf(rig.agentFolder.project, runId);
    return events.at(-1)?.type === "crew.run.completed";
  }, 40_000);
  await host.close();
  expect(host.exited?.code).toBe(0);
  expect(host.stderr).toMatch(LOST);
  expect(host.stderr).toMatch(/\b9 spans\b/);
  expect(host.strayLines).toEqual([]);
  const log = await readFile(join(rig.agentFolder.agent, "crew/log/foreman.jsonl"), "utf8");
  expect(log).toContain("telemetry was lost");

  await writeFile(join(rig.agentFolder.agent, "crew.json"), "{}");
  const notices = (rpc: typeof host) =>
    rpc.events.filter((event) => event["method"] === "notify" && LOST.test(String(event["message"])));
  const next = await rig.rpc({ extensions: [PACKAGE] });
  await waitUntil(() => notices(next).length > 0, 20_000);
  expect(notices(next)[0]?.["message"]).toMatch(/metric points?\b.*\b9 spans|\b9 spans\b.*metric point/);
  expect(await say(next, "/team-doctor")).toMatch(LOST);
  await next.close();
  const third = await rig.rpc({ extensions: [PACKAGE] });
  expect(await say(third, "/team-doctor")).not.toMatch(LOST);
  expect(notices(third)).toEqual([]);
});

it("a session without a screen tells its loss on standard error, and the doctor of the next such session knows it", async () => {
  const rig = await hangingRig();
  const { code, stdout, stderr } = await rig.print("say something", { extensions: [PACKAGE] });
  expect(code).toBe(0);
  expect(stderr.split("\n").filter((line) => LOST.test(line))).toHaveLength(1);
  expect(stdout).not.toContain("OTLP");
  for (const _again of [1, 2])
    expect((await rig.print("/team-doctor", { extensions: [PACKAGE] })).stdout).toMatch(LOST);
});

it.skipIf(tmuxMissing !== null)("the TUI leaves the line below its last screen", async () => {
  const rig = await hangingRig();
  const tui = await rig.tmux({ extensions: [PACKAGE] });
  await tui.ready();
  await tui.submit("say something");
  await tui.waitForText("main is done");
  await tui.submit("/quit");
  expect(await tui.waitForExit(20_000)).toBe(0);
  const screen = (await tui.capture({ history: true })).replaceAll("\n", " ");
  expect(screen).toMatch(/OTLP: of the session that ended/);
});
