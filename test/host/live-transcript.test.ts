import { readdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { inTurnFiles, teamReplies } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runFolder, runIds } from "../support/run-files.ts";
import { type TmuxHost, tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const SECRET = "kT7pWq2nXv9LmR4s";
const BEGUN = "▌ not finished";
const tui = it.skipIf(tmuxMissing !== null);

async function openOutput(pi: TmuxHost): Promise<void> {
  await pi.submit("/team-dashboard");
  await pi.waitForText("q close");
  await pi.sendKeys("4");
}

tui(
  "what a worker has begun is shown while it goes on, masked, also to the Pi that takes the run over; then it is gone",
  async () => {
    const command = "echo first words; until [ -e go ]; do sleep 0.05; done; echo last words";
    const a = ({ assistantTurns }: { assistantTurns: number }) =>
      assistantTurns === 0
        ? { tools: [{ name: "bash", args: { command } }] }
        : { text: `The key is ${SECRET} and the parser 模型 is read; I wri`, stall: true };
    const rig = await makeRig(teamReplies({ action: "list" }, { a }), {
      files: inTurnFiles,
      env: { SHOP_TOKEN: SECRET },
    });
    const { agent, project } = rig.agentFolder;
    await writeFile(join(agent, "crew.json"), JSON.stringify({ reliability: { autoRecover: true } }));
    const first = await (await rig.tmux({ extensions: [PACKAGE], columns: 120, rows: 40 })).ready();
    await first.submit('/team-run diamond "go"');
    await first.waitForText("Team diamond is at work");
    const [runId = ""] = await runIds(project);
    const folder = join(runFolder(project, runId), "tasks/a/a0001");
    await openOutput(first);
    await first.waitForText(`bash: first words\n${BEGUN}`);
    await writeFile(join(project, "go"), "");
    const streaming = /first words\n {2}last words\nThe key is \[REDACTED:[a-z-]+\] and the parser 模型 is read; I\n▌/;
    expect(await first.waitForText(streaming)).not.toContain("bash: first words");
    expect(await readFile(join(folder, "live.json"), "utf8")).not.toContain(SECRET.slice(0, 6));
    expect(await readFile(join(folder, "stdout.log"), "utf8")).not.toContain("The key is");

    process.kill(await first.pid(), "SIGKILL");
    await first.waitForExit();
    const second = await rig.tmux({ extensions: [PACKAGE], columns: 120, rows: 40 });
    await second.waitForText("worker still at work: a");
    await second.sendKeys("Enter");
    const events = () => eventsOf(project, runId);
    await waitUntil(async () => ofType(await events(), "crew.subagent.adopted").length === 1, 30_000);
    await openOutput(second);
    await second.waitForText(streaming);
    await second.sendKeys("c");
    await second.waitForText("or only task a?");
    await second.sendKeys("r");
    await second.waitFor((screen) => screen.includes("is read; I wri") && !screen.includes(BEGUN));
    expect(await readdir(folder)).not.toContain("live.json");
  },
  120_000,
);
