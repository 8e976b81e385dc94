import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import { diamondFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { makeRig } from "../support/rig.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

describe("a team in the real host", () => {
  it("runs tasks in the order of their dependencies, independent ones side by side", async () => {
    const rig = await makeRig(
      teamReplies(
        { action: "run", team: "diamond", goal: "build it" },
        { b: () => ({ text: "b is done", delayMs: 600 }), c: () => ({ text: "c is done", delayMs: 600 }) },
      ),
      { files: diamondFiles },
    );
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await host.prompt("MAIN: let the team do it");
    console.log(host.stderr, rig.server.requests.map((r) => [stepOf(r.request), r.request.tools, r.request.lastToolText]), host.events.filter(e=>!/message_|turn/.test(e.type)).map(e=>JSON.stringify(e).slice(0,400)));
    const events = await eventsOf(rig.agentFolder.project);
    console.log(host.stderr, rig.server.requests.map((r) => [stepOf(r.request), r.request.lastToolText]));
    expect(events.at(-1)?.type).toBe("crew.run.completed");
  });
});

async function eventsOf(project: string): Promise<CrewEvent[]> {
  const { readdir } = await import("node:fs/promises");
  const runs = join(project, ".crew/state/runs");
  const [id] = await readdir(runs);
  const text = await readFile(join(runs, id as string, "events.jsonl"), "utf8");
  return text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
}
