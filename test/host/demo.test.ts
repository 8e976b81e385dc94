import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { listProcesses, processesVisible } from "../support/processes.ts";

const repo = resolve(import.meta.dirname, "../..");
const fixedLine = "last.end = Math.max(last.end, meeting.end);";

interface Demo {
  child: ChildProcess;
  output(): string;
  /** Resolves when the demo has printed it. */
  printed(text: string): Promise<void>;
  exitCode: Promise<number | null>;
}

function startDemo(...flags: string[]): Demo {
  const child = spawn(process.execPath, ["--import", "tsx", "test/demo/demo.ts", ...flags], {
    cwd: repo,
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGTERM"));
  let text = "";
  const take = (chunk: string) => {
    text += chunk;
  };
  child.stdout.setEncoding("utf8").on("data", take);
  child.stderr.setEncoding("utf8").on("data", take);
  const exitCode = new Promise<number | null>((done) => child.once("close", done));
  const printed = (wanted: string) =>
    new Promise<void>((done, fail) => {
      const look = () => text.includes(wanted) && done();
      child.stdout.on("data", look);
      void exitCode.then(() => fail(new Error(`the demo ended without "${wanted}":\n${text}`)));
      look();
    });
  return { child, output: () => text, printed, exitCode };
}

/** What --keep kept; removed after the test. */
function keptFolder(output: string): string {
  const folder = /^kept: (.+)$/m.exec(output)?.[1];
  if (folder === undefined) throw new Error(`the demo kept no folder:\n${output}`);
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The run's folder as the demo prints it. */
function runFolder(output: string): string {
  return /^(\/.+\/\.crew\/state\/runs\/\S+)$/m.exec(output)?.[1] ?? "";
}

describe("npm run demo", () => {
  it("has workers fix the sample, shows it, and leaves nothing behind but what --keep asks for", async () => {
    const demo = startDemo("--fast", "--keep");
    const exitCode = await demo.exitCode;
    const output = demo.output();
    const kept = keptFolder(output);
    expect(exitCode, output).toBe(0);

    expect(output).toContain("5 passed, 1 failed");
    expect(output).toContain("6 passed, 0 failed");
    expect(output).toMatch(/✓ fix +completed +\S+ +\S+ tokens +\$0\.\d+ +scripted\/scripted-model/);
    expect(output).toMatch(/crew\.run\.count\{status=completed,team=fast-fix\} +1$/m);
    expect(output).toContain("The model is a script: no AI");
    const project = join(kept, "project");
    expect(await readFile(join(project, "src/join-meetings.js"), "utf8")).toContain(fixedLine);

    // the edit stands in the worker's own record, and what the main agent did is one call of the team
    const fix = await readFile(join(runFolder(output), "tasks/fix/a0001/stdout.log"), "utf8");
    expect(fix).toContain('"type":"tool_execution_start"');
    expect(fix).toContain(JSON.stringify(fixedLine).slice(1, -1));
    const events = await readFile(join(runFolder(output), "events.jsonl"), "utf8");
    expect(events.match(/"type":"crew\.task\.completed"/g)).toHaveLength(4);
    const pids = [...events.matchAll(/"type":"crew\.subagent\.spawned".*?"pid":(\d+)/g)].map((match) => match[1]);
    expect(new Set(pids).size).toBeGreaterThan(1);
  });

  it("fails, and says why, when the fix is left out", async () => {
    const demo = startDemo("--fast", "--without-fix");
    const exitCode = await demo.exitCode;
    const output = demo.output();
    expect(exitCode, output).toBe(1);
    expect(output).toContain("✗ the sample's test still fails: a short meeting within a long one leaves no gap");
    expect(output).toContain("The team's run is failed");
    expect(output).toMatch(/✗ verify +failed/);
    expect(output).toContain("VERDICT: changes-needed");
    expect(runFolder(output)).not.toBe("");
    expect(existsSync(dirname(runFolder(output)))).toBe(false);
  });

  it("ends host and workers when it is interrupted", async () => {
    const demo = startDemo("--keep");
    await demo.printed("● explore  running");
    demo.child.kill("SIGINT");
    const exitCode = await demo.exitCode;
    const output = demo.output();
    const kept = keptFolder(output);
    expect(exitCode, output).toBe(130);
    expect(output).toContain("– explore  cancelled");
    expect(output).not.toMatch(/^✗/m);
    // a worker's command line names the agent folder
    if (processesVisible) expect(listProcesses().filter(({ command }) => command.includes(kept))).toEqual([]);
  });
});
