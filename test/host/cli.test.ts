import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { inTurnFiles, teamReplies } from "../support/diamond-team.ts";
import { makeRig } from "../support/rig.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const CLI = resolve(import.meta.dirname, "../../src/host/cli.mjs");
const run = promisify(execFile);

describe("pi-foreman on the command line", () => {
  it("shows the runs of a project and one of them, and writes nothing", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    const { project, home, env } = rig.agentFolder;
    const cli = (args: string[], cwd: string) => run(process.execPath, [CLI, ...args], { cwd, env });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("let the team do it");
    expect((await cli(["runs"], project)).stdout).toMatch(/completed +4\/4/);
    expect((await cli(["status"], project)).stdout).toContain("✓ d");
    expect((await cli(["runs"], home)).stdout).toContain("No runs yet");
    expect(await readdir(home)).not.toContain(".crew");
    expect((await cli(["--version"], home)).stdout).toMatch(/^\d+\.\d+\.\d+/);
    expect((await cli(["metrics", "--help"], home)).stdout).toContain("pi-foreman metrics ");
    await expect(cli(["serve", "--port", "0", "extra"], home)).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"extra" means nothing here'),
    });
    await expect(cli(["fly"], home)).rejects.toMatchObject({ code: 2 });
    await expect(cli(["status", "nothing"], project)).rejects.toMatchObject({ code: 1 });
  });
});

describe("pi-foreman metrics --import", () => {
  it("adds what another file holds, once, and says so of a file that is not there", async () => {
    const rig = await makeRig(() => ({ text: "unused" }), {});
    const { project, env } = rig.agentFolder;
    const cli = async (...args: string[]) =>
      (await run(process.execPath, [CLI, "metrics", ...args], { cwd: project, env })).stdout;
    const at = new Date(Date.now() - 3_600_000).toISOString();
    const record = {
      task_id: "t",
      run_id: "r",
      task_type: "x",
      duration_seconds: 3,
      status: "completed",
      created_at: at,
    };
    await rig.agentFolder.write("old.jsonl", `${JSON.stringify(record)}\nnonsense\n`);
    expect(await cli("--import", "old.jsonl")).toContain("Imported 1 record of tasks into");
    expect(await cli("--import", "old.jsonl")).toMatch(
      /Imported 0 .* 1 were there already, 0 ended .* 1 line without a record/,
    );
    expect(JSON.parse(await cli("--json")).success_rate).toMatchObject({ completed: 1, total: 1 });
    await expect(cli("--import", "none.jsonl")).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("There is no file"),
    });
  });
});

describe("/team-prune", () => {
  it("previews, and removes only what was agreed to", async () => {
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    let agree = false;
    const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: agree }) });
    await host.prompt("let the team do it");
    const say = async (command: string) => (await host.command(command)).notices.join("\n");
    expect(await say("/team-prune")).toBe(
      "No run would go (ended more than 30 days ago, the newest 20 kept), and no export of that age.",
    );
    for (const slip of ["-1", "1.5", '""', "x"])
      expect(await say(`/team-prune --days ${slip}`)).toMatch(/^--days must be a whole number, 0 or more, not "/);
    expect(await say("/team-prune now --yes")).toMatch(/^"now" means nothing here. Use: \/team-prune \[--days 30\]/);
    await say("/team-export");
    const old = ["run-1-20200101000000000.html", "run-1-20200101000000000.json"];
    for (const name of [...old, "notes.txt"]) await rig.agentFolder.write(`.crew/exports/${name}`, "x".repeat(2000));
    const kept = async () => await readdir(join(rig.agentFolder.project, ".crew/exports"));
    const before = await kept();
    const shown = await say("/team-prune");
    expect(shown).toContain(`2 exported files of that age, 4 kB:\nexports/${old[0]}  2 kB\nexports/${old[1]}  2 kB`);
    expect(shown).toContain("Nothing was removed");
    expect(await kept()).toEqual(before);
    agree = true;
    expect(await say("/team-prune")).toBe("Removed 2 exported files, 4 kB.");
    expect(await kept()).toEqual(before.filter((name) => !old.includes(name)));
    agree = false;
    expect(await say("/team-prune --days 0 --keep 0")).toContain("Nothing was removed");
    expect(await say("/team-status")).toContain("completed");
    agree = true;
    expect(await say("/team-prune --days 0 --keep 0")).toContain("Removed 1 run");
    expect(await say("/team-status")).toContain("No runs yet");
  });
});
