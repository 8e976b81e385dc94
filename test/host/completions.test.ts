import { resolve } from "node:path";
import { expect, it } from "vitest";
import { diamondFiles, teamReplies } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

it.skipIf(tmuxMissing !== null)(
  "what can be typed behind a command is told beside it: runs, tasks, dead letters, teams, settings",
  async () => {
    let answer: () => void = () => undefined;
    const answered = new Promise<void>((done) => {
      answer = done;
    });
    const steps = {
      b: async () => {
        await answered;
        return { text: "b is done" };
      },
      c: () => ({ status: 400, error: "no such thing" }),
    };
    const rig = await makeRig(teamReplies({ action: "list" }, steps), { files: diamondFiles });
    const { project } = rig.agentFolder;
    const pi = await (await rig.tmux({ extensions: [PACKAGE], columns: 160, rows: 40 })).ready();
    await pi.submit('/team-run diamond "go 模型"');
    await pi.waitForText("Team diamond is at work");
    const [runId = ""] = await runIds(project);
    await waitUntil(async () => ofType(await eventsOf(project, runId), "crew.task.skipped").length === 1, 30_000);
    const typed = async (text: string, wanted: RegExp): Promise<void> => {
      await pi.sendText(text);
      await pi.waitForText(wanted);
      await pi.sendKeys("Escape");
      await pi.waitFor((screen) => !/^→ /m.test(screen));
      await pi.sendKeys("C-u");
      await pi.waitFor((screen) => !screen.includes(`\n${text.trim()}`));
    };
    await typed("/team-status ", /latest +the newest run\n +\S+ +running for \S+ · diamond: go 模型/);
    await typed(`/team-message ${runId} `, /b +running · hand/);
    await typed(`/team-redrive ${runId} `, /c +failed · hand · .*400/);
    await typed("/team-init fast", /fast-fix +\S.*/);
    await typed("/team-settings reliability.autoRec", /reliability\.autoRecover +\S.*/);
    await typed("/team-settings limits.maxTokens --d", /what it is unless set/);
    await pi.submit("/team-settings limits.maxTokens ");
    await pi.waitForText(/limits\.maxTokens = 0 \(the default\)/);
    answer();
    await waitUntil(async () => ofType(await eventsOf(project, runId), "crew.run.failed").length === 1, 30_000);
    await pi.submit(`/team-deadletters add ${runId} c`);
    await pi.waitForText(/is dead letter dl-[0-9a-f]+ now/);
    await typed("/team-export ", /failed \S+ ago · diamond: go 模型/);
    await typed("/team-redrive ", /dl-[0-9a-f]+ +c · manual \S+ ago · .*400/);
    await pi.close();
    expect(await runIds(project)).toEqual([runId]);
  },
  90_000,
);
