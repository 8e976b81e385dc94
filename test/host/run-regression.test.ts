import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { inTurnFiles, stepOf } from "../support/diamond-team.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { makeRig } from "../support/rig.ts";
import { keepRun } from "./kept-runs.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const silent = () => undefined;

it("the report of a run says when its workflow has become slower, and nothing of other workflows", async () => {
  const rig = await makeRig((request) => ({ text: `${stepOf(request)} is done` }), { files: inTurnFiles });
  const world = { ...nodeWorld({ warn: silent, error: silent }), clock: new FakeClock() };
  const crewRoot = join(rig.agentFolder.project, ".crew");
  for (const workflow of ["diamond", "other"])
    for (let i = 0; i < 19; i++)
      await keepRun(world, crewRoot, {
        runId: `${workflow}-${String(i).padStart(2, "0")}`,
        workflow,
        attempts: { a: [{ outcome: "completed", ms: i < 15 ? 100 + i : 9000 + i }] },
        end: "completed",
      });
  const { stdout } = await rig.print('/team-run diamond "x"', { extensions: [PACKAGE] });
  expect(stdout).toContain("completed");
  expect(stdout).toMatch(/Workflow diamond takes \S+ times what it did in the 15 runs before/);
  expect(stdout).not.toContain("Workflow other");
});
