import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig } from "../support/rig.ts";
import { eventsOf, runFolder, runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const CLI = resolve(import.meta.dirname, "../../src/host/cli.mjs");
const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

it("an ended run that two sessions resume at once is gone on with by one, the other told its run; one that is damaged is listed", async () => {
  let broken = true;
  const rig = await makeRig(
    (request) => {
      if (stepOf(request) === "a" && broken) return { status: 400, error: "no" };
      if (stepOf(request) === null && request.assistantTurns === 0)
        return { tools: [{ name: "team", args: { action: "list" } }] };
      return { text: "done", delayMs: 3000 };
    },
    { files: inTurnFiles },
  );
  const listed = async () => {
    await (await rig.rpc({ extensions: [PACKAGE] })).prompt("list them");
    return rig.server.requests.map(({ request }) => request.lastToolText).join("\n");
  };
  const hosts = await Promise.all([rig.rpc({ extensions: [PACKAGE] }), rig.rpc({ extensions: [PACKAGE] })]);
  const { project } = rig.agentFolder;
  await say(hosts[0], '/team-run diamond "once"');
  const [old = ""] = await runIds(project);
  const ended = async (id: string) =>
    /crew\.run\.(failed|completed)/.test((await eventsOf(project, id)).at(-1)?.type ?? "");
  await waitUntil(() => ended(old), 30_000);
  // each has to have read it, too
  for (const host of hosts)
    await waitUntil(async () => /· failed ·/.test(await say(host, `/team-status ${old}`)), 30_000);
  broken = false;
  const said = await Promise.all(hosts.map((host) => say(host, `/team-resume ${old}`)));
  const [, next = "", ...more] = await runIds(project);
  expect(more).toEqual([]);
  expect(said.join("\n")).toContain(`Run ${next} goes on with ${old}: `);
  expect(said.join("\n")).toMatch(
    new RegExp(`Run ${next} (goes on with ${old} already|is just being made, to do task \\w again)`),
  );
  await waitUntil(() => ended(next), 30_000);
  const third = await say(hosts[1], `/team-resume ${old}`);
  expect(third, "once that run has ended").toContain(`All that was left of run ${old} was done by run ${next}`);

  const manifest = join(runFolder(project, old), "manifest.json");
  const text = await readFile(manifest, "utf8");
  await writeFile(manifest, "{ garbage");
  const list = (await say(hosts[0], "/team-status")).split("\n");
  expect(list.filter((line) => line.startsWith(old))).toEqual([
    expect.stringMatching(/ {2}unreadable: .*manifest\.json/),
  ]);
  expect(list.some((line) => line.startsWith(next))).toBe(true);
  expect(await listed(), "what the model is told").toMatch(new RegExp(`^${old} {2}unreadable: .*manifest`, "m"));
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, "runs"], { cwd: project });
  expect(stdout, "in a shell").toMatch(new RegExp(`^${old} {2}unreadable: .*manifest`, "m"));
  await writeFile(manifest, text);
}, 120_000);
