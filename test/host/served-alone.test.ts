import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ask, rawConnection } from "../export/http-asking.ts";
import { taskRecord } from "../store/sample-tasks.ts";
import { expositionProblems } from "../support/exposition-checker.ts";
import { waitUntil } from "../support/processes.ts";
import { keepTasks } from "./kept-runs.ts";
import { idsOf, served } from "./served.ts";

describe("what is served without a session", () => {
  it("is metrics of what is kept, under names of their own", async () => {
    const { keep, port, crewRoot, clock } = await served();
    const { body: none } = await ask(port, "/metrics");
    expect(none).toMatch(/^crew_history_tasks\{status="completed"\} 0$/m);
    expect(none, "of no task").not.toContain("crew_history_task_duration_seconds{");
    await keep("run-1");
    await keep("run-2");
    const created_at = new Date(clock.now()).toISOString();
    await keepTasks(crewRoot, [
      taskRecord({ created_at, duration_seconds: 8 }),
      taskRecord({ created_at, model: 'o"dd' }),
    ]);
    for (const [format, accept] of [
      ["text", "*/*"],
      ["openmetrics", "application/openmetrics-text"],
    ] as const) {
      const { body } = await ask(port, "/metrics", { headers: { accept } });
      expect(expositionProblems(body, format)).toEqual([]);
      expect(body).toMatch(/^crew_history_tasks\{status="completed"\} 2$/m);
      expect(body).toMatch(/^crew_history_task_duration_seconds\{percentile="50"\} 10.25$/m);
      expect(body).toMatch(/^crew_history_runs\{status="completed"\} 2$/m);
      const names = body.match(/^[a-z]\w+/gm) ?? [];
      expect(names.filter((name) => !name.startsWith("crew_history_"))).toEqual([]);
    }
  });

  it("is a page that runs its own script only, asks nobody else, and puts text in as text", async () => {
    const { port } = await served();
    const { headers, body, status } = await ask(port, "/");
    expect([status, headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    const policy = String(headers["content-security-policy"]).split("; ");
    for (const [tag, name] of [
      ["script", "script-src"],
      ["style", "style-src"],
    ] as const) {
      const [, text = ""] = new RegExp(`<${tag}>([^]*?)</${tag}>`).exec(body) ?? [];
      expect(text.length).toBeGreaterThan(1000);
      expect(policy).toContain(`${name} 'sha256-${createHash("sha256").update(text).digest("base64")}'`);
    }
    expect(policy).toEqual(
      expect.arrayContaining(["default-src 'none'", "connect-src 'self'", "require-trusted-types-for 'script'"]),
    );
    expect(body).not.toMatch(/https?:|\/\/[a-z]+\.|innerHTML|insertAdjacentHTML|document\.write|\son[a-z]+=|\sstyle=/);
  });

  it("goes on for others while strangers, slow clients and endless paths are sent away", async () => {
    const { port, get, keep, clock } = await served();
    await keep("run-1");
    const slow = rawConnection(port, "GET /api/ru");
    const endless = rawConnection(port, `GET /api/runs/${"x".repeat(100_000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    await waitUntil(() => endless.ended);
    expect(endless.received).toMatch(/^HTTP\/1.1 431 /);
    for (const path of ["/", "/api/runs", "/api/runs/run-1", "/metrics", "/api/agent/metrics"]) {
      expect((await ask(port, path, { headers: { host: "evil.example" } })).status, path).toBe(403);
      expect((await ask(port, path, { headers: { origin: "http://evil.example" } })).status, path).toBe(403);
      expect((await ask(port, path, { method: "POST" })).status, path).toBe(405);
      expect(await ask(port, path, { method: "HEAD" }), path).toMatchObject({ status: 200, body: "" });
    }
    for (let second = 0; second < 5; second++) {
      slow.socket.write("n");
      expect(idsOf(await get("/api/runs"))).toEqual(["run-1"]);
      await clock.advance(1000);
    }
    await waitUntil(() => slow.ended);
    expect(slow.received).toMatch(/^HTTP\/1.1 408 /);
    expect(idsOf(await get("/api/runs"))).toEqual(["run-1"]);
  });
});
