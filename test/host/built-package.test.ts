import { execFile } from "node:child_process";
import { mkdir, readFile, realpath, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { buildPackage } from "../../build.ts";
import { tempFolder } from "../store/temp-store.ts";
import { tagVariable } from "../support/agent-folder.ts";
import { inTurnFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { expectGone, processesWithEnvironment } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { say } from "../support/say.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const run = promisify(execFile);

/** As it is installed: with its dependencies, and without the host, which gives it its own modules. */
async function installedPackage(): Promise<string> {
  const folder = await realpath(await tempFolder());
  const built = join(folder, "built");
  await buildPackage(built);
  const { dependencies } = JSON.parse(await readFile(join(built, "package.json"), "utf8"));
  for (const name of Object.keys(dependencies)) {
    await mkdir(dirname(join(built, "node_modules", name)), { recursive: true });
    await symlink(join(ROOT, "node_modules", name), join(built, "node_modules", name));
  }
  // users name it by a path that may be a link
  await symlink(built, join(folder, "link"));
  return join(folder, "link");
}

describe("the compiled package", () => {
  it("runs a team in the session and in a process of its own, measures both, and serves its page", async () => {
    const built = await installedPackage();
    const rig = await makeRig(teamReplies({ action: "run", team: "diamond", goal: "build" }), { files: inTurnFiles });
    const host = await rig.rpc({ extensions: [join(built, "index.ts")] });
    await host.prompt("let the team do it");
    expect(await say(host, "/team-status latest")).toContain("✓ d");
    // a later piece knows the first one: what the user can mend is not logged as a fault
    expect(await say(host, "/team-cancel nobody")).toContain("nobody");
    const log = await readFile(join(rig.agentFolder.agent, "crew/log/foreman.jsonl"), "utf8").catch(() => "");
    expect(log).toBe("");
    const from = host.events.length;
    await say(host, '/team-run --background diamond "again"');
    await host.waitFor((it) => it.type === "message_end" && it["message"].details?.runId !== undefined, 30_000, from);
    expect(await say(host, "/team-metrics crew.run.count")).toMatch(/completed.* 2\b/);
    for (const step of ["a", "b", "c", "d"])
      expect(rig.server.requests.filter(({ request }) => stepOf(request) === step)).toHaveLength(2);
    const url = /http:\/\/\S+\//.exec(await say(host, "/team-metrics --serve --port 0"))?.[0] ?? "";
    expect(await (await fetch(url)).text()).toContain("<html");
    const { project, env, tag } = rig.agentFolder;
    const cli = (...words: string[]) =>
      run(process.execPath, [join(built, "src/host/cli.mjs"), ...words], { cwd: project, env });
    expect((await cli("runs")).stdout.match(/completed +4\/4/g)).toHaveLength(2);
    expect(JSON.parse((await cli("metrics", "--json")).stdout).success_rate).toMatchObject({ completed: 8 });
    await host.close();
    await expectGone(() => processesWithEnvironment(tagVariable, tag));
  });
});
