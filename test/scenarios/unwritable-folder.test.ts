import { execFileSync } from "node:child_process";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { diamondFiles, stepOf } from "../support/diamond-team.ts";
import { gatedRig, gatedRun } from "../support/gated-run.ts";
import { currentHost } from "../support/host-paths.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import { runFolder } from "../support/run-files.ts";
import { missing } from "../support/system-faults.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

const noMount = missing("mount");
const noOther = missing("setpriv");
const noLimit = missing("prlimit");

async function readOnlyDisk(folder: string, files: Record<string, string> = {}): Promise<void> {
  await mkdir(folder, { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "none", folder]);
  onTestFinished(() => void execFileSync("umount", ["--lazy", folder]));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  execFileSync("mount", ["-o", "remount,ro", folder]);
}

const answer = (request: Parameters<typeof stepOf>[0]) => ({ text: `${stepOf(request)} is done` });

/** Where the agent folder keeps the runs of a project that can't be written. */
async function keptRuns(rig: Rig): Promise<string[]> {
  const projects = join(rig.agentFolder.agent, "crew/projects");
  const [project = ""] = await readdir(projects).catch(() => []);
  return readdir(join(projects, project, "state/runs")).catch(() => []);
}

describe("a project that can't be written", { timeout: 120_000 }, () => {
  it.skipIf(noMount)(
    `on a read-only disk has its runs kept in the agent folder${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      const rig = await makeRig(answer);
      await readOnlyDisk(rig.agentFolder.project, diamondFiles);
      const { stdout } = await rig.print('/team-run diamond "x"', { extensions: [PACKAGE] });
      expect(stdout).toContain("completed");
      expect(await keptRuns(rig)).toHaveLength(1);
    },
  );

  it.skipIf(noOther)(
    `by this user has its runs kept in the agent folder${noOther ? `: skipped, ${noOther}` : ""}`,
    async () => {
      const rig = await makeRig(answer, { files: diamondFiles });
      const { agent, home, project } = rig.agentFolder;
      await chmod(dirname(project), 0o755);
      // where the loader may keep what it has compiled, for the worker processes
      const env = { TMPDIR: join(home, "tmp") };
      await mkdir(env.TMPDIR);
      execFileSync("chown", ["-R", "65534:65534", agent, home]);
      const node = join(home, "as-another-user");
      const real = currentHost();
      await writeFile(node, `#!/bin/sh\nexec setpriv --reuid=65534 --regid=65534 --clear-groups "${real.node}" "$@"\n`);
      await chmod(node, 0o755);
      const host = { ...real, node };
      const { stdout } = await rig.print('/team-run diamond "x"', {
        extensions: [PACKAGE],
        host,
        env,
        timeoutMs: 100_000,
      });
      expect(stdout).toContain("completed");
      expect(await keptRuns(rig)).toHaveLength(1);
    },
  );

  it.skipIf(noMount)(
    `refuses a run in one sentence before anything is spawned${noMount ? `: skipped, ${noMount}` : ""}`,
    async () => {
      const rig = await makeRig(answer, { files: diamondFiles });
      const host = await rig.rpc({ extensions: [PACKAGE] });
      // its runs had a place when the session began
      expect((await host.command("/team-status latest")).notices.join("\n")).toContain("There is no run yet");
      await readOnlyDisk(join(rig.agentFolder.project, ".crew/state/runs"));
      const { notices } = await host.command('/team-run diamond "x"', 60_000);
      expect(notices.join("\n")).toContain("The run can't be kept and was not begun: its folder can't be written");
      expect(notices.join("\n")).toContain("then start it again");
      expect(rig.server.requests).toEqual([]);
      await host.close();
    },
  );
});

describe("a Pi that may open no more files", { timeout: 120_000 }, () => {
  it.skipIf(noLimit)(
    `loses nothing of its run, and goes on when it may again${noLimit ? `: skipped, ${noLimit}` : ""}`,
    async () => {
      const { rig, host, runId, asked, open, events } = await gatedRun(await gatedRig({ gated: ["b", "c"] }));
      const limit = execFileSync("prlimit", [
        "--pid",
        String(host.pid),
        "--nofile",
        "--output",
        "SOFT",
        "--noheadings",
      ]);
      const allow = (count: string) => execFileSync("prlimit", ["--pid", String(host.pid), `--nofile=${count}:`]);
      allow("1");
      open();
      for (const task of ["b", "c"]) {
        const state = join(runFolder(rig.agentFolder.project, runId), "tasks", task, "a0001/state.json");
        await waitUntil(async () => (await readFile(state, "utf8")).includes('"ended"'), 30_000);
      }
      const { data } = await host.send({ type: "get_state" });
      expect(data).toBeDefined();
      allow(limit.toString().trim());
      await waitUntil(async () => (await events()).at(-1)?.type === "crew.run.completed", 60_000);
      for (const step of ["a", "b", "c", "d"]) expect(asked(step), step).toBe(1);
    },
  );
});
