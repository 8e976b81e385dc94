/** The dashboard in the real terminal, over a run that is really under way. */
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { diamondFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { expectGone, processesVisible, processesWithEnvironment, waitUntil } from "../support/processes.ts";
import { fixture, makeRig, type Rig } from "../support/rig.ts";
import { eventsOf, ofType, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";
import { type TmuxHost, tmuxMissing } from "../support/tmux-host.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const PANES = ["agents", "progress", "mailbox", "output", "health", "metrics"] as const;
const SIZES = [
  [80, 24],
  [120, 40],
  [200, 60],
] as const;
const MESSAGE = "use pnpm 模型 🚀";

const tui = it.skipIf(tmuxMissing !== null);
if (tmuxMissing) console.warn(tmuxMissing);

function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((done) => {
    open = done;
  });
  return { open, opened };
}

/** A Pi whose run stands still: a is done, c has failed, and the model that b has asked has not answered. */
async function underWay(columns: number, rows: number, { theme = "dark", extensions = [] as string[] } = {}) {
  const first = gate();
  const second = gate();
  let asked = 0;
  const steps = {
    a: ({ assistantTurns }: { assistantTurns: number }) =>
      assistantTurns === 0
        ? { text: "I look.\n模型 🚀", tools: [{ name: "bash", args: { command: 'printf "\\033[31mred\\033[0m\\n"' } }] }
        : { text: "a is done" },
    b: async () => {
      asked++;
      await (asked === 1 ? first : second).opened;
      return { text: "b goes on" };
    },
    c: () => ({ status: 400, error: "no such thing" }),
  };
  const rig = await makeRig(teamReplies({ action: "list" }, steps), { files: diamondFiles, settings: { theme } });
  const pi = await (await rig.tmux({ extensions: [PACKAGE, ...extensions], columns, rows })).ready();
  await pi.submit('/team-run diamond "模型 🚀 go"');
  await pi.waitForText("Team diamond is at work");
  const [runId = ""] = await runIds(rig.agentFolder.project);
  const events = () => eventsOf(rig.agentFolder.project, runId);
  await waitUntil(async () => ofType(await events(), "crew.task.skipped").length === 1 && asked === 1, 30_000);
  return { rig, pi, runId, events, answerFirst: first.open, answerSecond: second.open };
}

async function open(pi: TmuxHost): Promise<void> {
  await pi.submit("/team-dashboard");
  await pi.waitForText("1 agents   2 progress");
  await pi.waitForText("q close");
}

/** What differs from one run to the next, and what its length moves: blanks and bars. */
function masked(screen: string): string {
  return (
    screen
      .replace(/\d{8}-\d{9}-[0-9a-f]{8}|\b[0-9a-f]{8}\b/g, "RUN")
      .replace(/w-[0-9a-f]{12}/g, "WORKER")
      .replace(/\bpid \d+/g, "pid N")
      .replace(/\d+m \d\ds|\d+(\.\d+)?m?s\b/g, "TIME")
      .replace(/\$[\d.]+/g, "COST")
      .replace(/ *┊(0|TIME)/g, "")
      // each host has its own words for it
      .replace(/\b400 *:? .*/g, "400 WORDS")
      .replace(/[█▒▓░]+/g, "▒")
      .replace(/─+/g, "─")
      .replace(/[ \n]*─/g, "\n─")
      .replace(/[▁-▇] *| {2}p95, last hour/g, "")
      .replace(/\n +\n/g, "\n")
      .replace(/ {2,}/g, "  ")
  );
}

async function exportsOf(rig: Rig): Promise<string[]> {
  return readdir(join(rig.agentFolder.project, ".crew/exports")).catch(() => []);
}

describe("/team-dashboard in the terminal", () => {
  tui(
    "shows each pane at three sizes and in both themes",
    async () => {
      for (const theme of ["dark", "light"]) {
        const { pi } = await underWay(80, 24, { theme });
        const above = await pi.waitForText("team: 1 run · 1 at work");
        expect(above).toMatch(/^ diamond █{3}▓{6}░{3} 1\/4 {2}c failed, 1 skipped {2}\S.*\$0\.0\d+$/m);
        await open(pi);
        for (const [columns, rows] of SIZES) {
          await pi.resize(columns, rows);
          const screens: string[] = [];
          for (const [at, pane] of PANES.entries()) {
            await pi.sendKeys(String(at + 1));
            let before = "";
            // twice the same: not caught in the middle of a frame
            const still = (text: string) => {
              const same = text === before;
              before = text;
              return same && inPane(text, pane, columns);
            };
            const screen = await pi.waitFor(still, { what: pane });
            expect(screen.split("\n")).toHaveLength(rows);
            screens.push(masked(screen));
          }
          await expect(screens.join("\n\n")).toMatchFileSnapshot(`golden/dashboard-${columns}x${rows}.txt`);
        }
        await pi.sendKeys("q");
        await pi.waitFor((text) => !text.includes("2 progress"));
        await pi.close();
      }
    },
    120_000,
  );

  tui(
    "tells a worker, cancels its task, redrives, exports and discards",
    async () => {
      const { rig, pi, runId, events, answerFirst, answerSecond } = await underWay(120, 40);
      await pi.submit(`/team-deadletters add ${runId} c`);
      await pi.waitForText(/is dead letter dl-[0-9a-f]+ now/);
      await open(pi);

      await pi.sendKeys("Down", "3", "m");
      await pi.waitForText("To task b");
      await pi.sendText(MESSAGE);
      await pi.waitForText(`> ${MESSAGE}`);
      await pi.sendKeys("Enter");
      await pi.waitForText(/→ b {2}use pnpm/);
      expect(ofType(await events(), "crew.mailbox.message")).toMatchObject([{ taskId: "b", text: MESSAGE }]);
      answerFirst();
      const heard = await rig.server.waitForRequest(
        ({ request }) => stepOf(request) === "b" && JSON.stringify(request.messages).includes(MESSAGE),
      );
      expect(heard.end).toBe("open");

      await pi.sendKeys("c");
      await pi.waitForText("or only task b?");
      await pi.sendKeys("Escape");
      await pi.waitFor((screen) => !screen.includes("or only task b?"));
      expect(ofType(await events(), "crew.task.cancelled")).toEqual([]);
      await pi.sendKeys("c");
      await pi.waitForText("t only task b");
      await pi.sendKeys("t");
      await pi.waitForText(/– b +cancelled/);
      await waitUntil(async () => ofType(await events(), "crew.run.cancelled").length === 1);
      expect(heard.end).toBe("gone");
      expect(ofType(await events(), "crew.task.cancelled").map(({ taskId }) => taskId)).toEqual(["b"]);

      await pi.sendKeys("e");
      await pi.waitForText("is exported");
      expect((await exportsOf(rig)).some((name) => name.startsWith(runId) && name.endsWith(".json"))).toBe(true);

      await pi.sendKeys("5");
      await pi.waitForText("r redrive  d discard");
      // b was cancelled, and is run again with it
      answerSecond();
      await pi.sendKeys("r");
      await pi.waitForText("y redrive");
      await pi.sendKeys("y");
      await pi.waitForText("goes on with");
      const next = (await runIds(rig.agentFolder.project)).at(-1) ?? "";
      const nextEvents = () => eventsOf(rig.agentFolder.project, next);
      await waitUntil(async () => ofType(await nextEvents(), "crew.run.failed").length === 1, 30_000);
      expect(ofType(await events(), "crew.task.redriven")).toMatchObject([{ taskId: "c", newRunId: next }]);
      await pi.waitForText("none: no task was given up");
      await pi.sendKeys("6", "/");
      await pi.waitForText("Names of metrics");
      await pi.sendText("crew.run.*");
      await pi.waitForText("> crew.run.*");
      await pi.sendKeys("Enter");
      await pi.waitForText("that match crew.run.*");
      await waitUntil(async () => !(await pi.capture()).includes("crew.task"));
      await pi.waitForText(new RegExp(`^› – ${runId.slice(-8)}`, "m"));
      await pi.sendKeys("Left", "1");
      await pi.waitForText(new RegExp(`^› ✗ ${next.slice(-8)}`, "m"));

      await pi.sendKeys("q");
      await pi.waitFor((screen) => !screen.includes("2 progress"));
      await pi.submit(`/team-deadletters add ${next} c`);
      // the host drops what is entered before a command is over, and the first letter's notice may still be there
      await pi.waitForText(`Task c of run ${next} is dead letter`);
      await open(pi);
      await pi.sendKeys("5");
      await pi.waitForText("d discard");
      await pi.sendKeys("d");
      await pi.waitForText("y discard");
      await pi.sendKeys("y");
      await pi.waitForText("is discarded");
      await pi.waitForText("none: no task was given up");
      await pi.sendKeys("q");
      await pi.waitFor((screen) => !screen.includes("2 progress") && !screen.includes("at work"));
      await pi.close();
      if (processesVisible) await expectGone(() => processesWithEnvironment("FOREMAN_ATTEMPT", `${runId}/b/a0001`));
    },
    120_000,
  );

  tui(
    "gives way to a dialog, cancels a run, and is there again in the next session",
    async () => {
      const { pi } = await underWay(80, 24, { extensions: [fixture("asking-extension.ts")] });
      await open(pi);
      await pi.sendKeys("Down", "m");
      await pi.waitForText("To task b");
      await pi.sendText("is it?");
      await pi.waitForText("> is it?");
      await pi.sendKeys("Enter");
      await pi.waitFor((text) => text.includes("A question of another's") && !text.includes("2 progress"));
      await pi.sendKeys("Enter");
      await pi.waitFor((text) => !text.includes("A question of another's"));
      await pi.submit("/team-cancel");
      await pi.waitForText(/Cancel run \S+\?/);
      await pi.sendKeys("Escape");
      await pi.waitForText(/Run \S+ is not cancelled\./);
      await open(pi);
      await pi.sendKeys("c");
      await pi.waitForText("y cancel the run");
      await pi.sendKeys("y");
      await pi.waitForText(/is cancelled; none of its processes is left/);
      await pi.sendKeys("C-c");
      await pi.waitFor((text) => !text.includes("2 progress"));
      await pi.submit("/new");
      await pi.waitForText("New session started");
      await open(pi);
      await pi.sendKeys("q");
      await pi.waitFor((text) => !text.includes("2 progress"));
      await pi.submit("/quit");
      expect(await pi.waitForExit()).toBe(0);
    },
    60_000,
  );
});

function inPane(text: string, pane: (typeof PANES)[number], columns: number): boolean {
  const signs = {
    agents: "TASK  AGENT",
    progress: "critical path",
    mailbox: "Nobody was told",
    output: "a is done",
    health: "silent",
    metrics: "COUNTERS, the",
  };
  const rules = text.split("\n").filter((line) => line === "─".repeat(columns));
  return (
    rules.length === 2 &&
    text.includes(signs[pane]) &&
    text.trimEnd().split("\n").at(-1)?.startsWith("1-6 pane  q close") === true
  );
}

describe("/team-dashboard without a terminal", () => {
  it("is text over RPC and in print mode: runs, tasks, dead letters and metrics", async () => {
    const { opened, open: answer } = gate();
    const held = async () => {
      await opened;
      return { text: "b is done" };
    };
    const rig = await makeRig(teamReplies({ action: "list" }, { b: held }), { files: diamondFiles });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.command('/team-run diamond "go"');
    const [runId = ""] = await runIds(rig.agentFolder.project);
    const events = () => eventsOf(rig.agentFolder.project, runId);
    await waitUntil(async () => ofType(await events(), "crew.task.completed").length === 2, 30_000);
    const said = await say(host, "/team-dashboard");
    expect(said).toContain(`${runId}  running    2/4`);
    expect(said).toMatch(/^● b {2}running/m);
    expect(said).toContain("No dead letters");
    expect(said).toMatch(/^crew\.task\.count\{status=completed,team=diamond,role=hand\} +2$/m);
    const [url = ""] = /http:\S+metrics/.exec(await say(host, "/team-metrics --serve --port 0")) ?? [];
    expect(await (await fetch(url)).text()).toMatch(/^crew_task_count_total\{status="completed",.*\} 2$/m);
    answer();
    await waitUntil(async () => ofType(await events(), "crew.run.completed").length === 1, 30_000);
    await host.close();
    const printed = await rig.print("/team-dashboard", { extensions: [PACKAGE] });
    expect(printed.stdout).toContain(`${runId}  completed  4/4`);
    expect(printed.stdout).toContain("COUNTERS");
    expect(printed.code).toBe(0);
  }, 90_000);
});
