import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { metrics } from "../../src/host/cli-metrics.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { taskRecord } from "../store/sample-tasks.ts";
import { keepTasks } from "./kept-runs.ts";
import { served } from "./served.ts";

const DAY_MS = 86_400_000;
const silent = () => undefined;

/** The same project in a shell and over HTTP. */
async function asked() {
  const project = await served();
  const world = { ...nodeWorld({ warn: silent, error: silent }), clock: project.clock };
  const shell = async (text = "") => {
    const printed: string[] = [];
    await metrics(world, project.cwd, text, (lines) => void printed.push(...lines));
    return printed.join("\n");
  };
  const at = (ms: number) => new Date(project.clock.now() + ms).toISOString();
  return { ...project, shell, at };
}

describe("pi-foreman metrics", () => {
  it("prints how tasks went in a window, and by what they are asked for, one key or several", async () => {
    const { shell, get, at, crewRoot } = await asked();
    expect(await shell()).toBe("No task has ended in that time.");
    await keepTasks(crewRoot, [
      taskRecord({ created_at: at(-1000), duration_seconds: 10 }),
      taskRecord({ created_at: at(-2000), duration_seconds: 30, role: "", project: "other" }),
      taskRecord({ created_at: at(-3000), duration_seconds: 20, status: "failed", model: "acme/small" }),
      taskRecord({ created_at: at(-3 * DAY_MS) }),
    ]);
    const table = await shell("--window 24h");
    expect(table).toContain("success 66.7 %: 2 completed, 1 failed, 3 in all; p50 20s, p95 29s");
    expect(table).toMatch(/^executor +3 +2 +1 +66.7 %$/m);
    expect(table).toMatch(/^acme\/large +2 +20s$/m);
    expect(await shell("--window 7d")).toContain("4 in all");
    expect(await shell("--window 24h --project other")).toContain("1 in all");
    expect(await shell("--window 24h --by role")).toMatch(/^none +1 +100 %/m);
    const both = await shell("--window 24h --by role,model");
    expect(both).toMatch(/^role · model +tasks/);
    expect(both).toMatch(/^executor · acme\/small +1 +0 %/m);
    const rows = JSON.parse(await shell("--json --by model,role --window 24h"));
    expect(rows.map(({ name }: { name: string }) => name)).toContain("acme/small · executor");
    const { value } = await get("/api/agent/scoreboard?window=24h&by=model,role");
    expect(value).toEqual({ rows, regressions: [] });
    expect((await get("/api/agent/scoreboard?by=model,mood")).value.error).toContain("model, role, team, workflow");
    expect((await get("/api/agent/metrics?window=1h&window=2h")).value.error).toContain(
      '"window" is given more than once',
    );
    await expect(shell("import")).rejects.toThrow('"import" means nothing here.');
    await expect(shell("--import .")).rejects.toThrow("is a folder: name a file");
  });

  it("leaves out what has not come by the clock, until it has", async () => {
    const { shell, get, at, crewRoot, cwd, clock } = await asked();
    const future = taskRecord({ created_at: at(3 * DAY_MS), task_id: "later" });
    await keepTasks(crewRoot, [taskRecord({ created_at: at(-1000) }), future]);
    const counts = async () => {
      const total = (await get("/api/agent/metrics?window=7d")).value.success_rate.total;
      return [total, (await get("/api/agent/scoreboard?window=7d")).value.rows[0].count];
    };
    expect(await counts()).toEqual([1, 1]);
    writeFileSync(join(cwd, "more.jsonl"), `${JSON.stringify({ ...future, task_id: "new" })}\n`);
    expect(await shell("--import more.jsonl")).toMatch(/Imported 0 .* 1 in the future/);
    await clock.advance(3 * DAY_MS);
    expect(await counts()).toEqual([2, 2]);
    await clock.advance(6 * DAY_MS);
    expect(await counts()).toEqual([1, 1]);
  });

  it("says what has become worse, as the page is told", async () => {
    const { shell, get, keep } = await asked();
    for (let i = 0; i < 20; i++)
      await keep(`run-${String(i).padStart(2, "0")}`, {
        attempts: { a: [{ outcome: "completed", ms: i < 15 ? 1000 + i : 9000 + i }] },
      });
    const sentence = "Workflow flow takes 9.0 times what it did in the 15 runs before.";
    expect((await get("/api/agent/scoreboard")).value.regressions).toEqual([sentence]);
    expect(await shell()).toContain(sentence);
  });
});
