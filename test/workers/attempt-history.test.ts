import { spawn } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { AttemptHistory } from "../../src/workers/attempt-history.ts";
import type { StepRequest, StepResult } from "../../src/workers/step-contract.ts";

const ROOT = join(import.meta.dirname, "../..");
const MB = 1024 * 1024;

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "foreman-attempts-"));
  onTestFinished(() => rmSync(made, { recursive: true }));
  return made;
}

const request = { runtime: { repoRoot: "/work/shop" } } as StepRequest;
const step = {
  attemptOutcome: "failed",
  taskId: "build",
  runId: "run-1",
  attempt: 2,
  workerKind: "pi",
  finishedAt: "2026-11-20T10:00:00.000Z",
  durationMs: 1500,
  metadata: { workerId: "w", pid: 1, model: "acme/large", exitCode: 137 },
  error: { code: "x", message: `token sk-top-secret-1234 ${"é".repeat(300)}` },
  metrics: { tokens: { input: 1, output: 2, cacheRead: 3, cacheWrite: 4 }, costUsd: 0.5 },
} as unknown as StepResult;

function open(agentDir: string, told: string[] = []) {
  const world = nodeWorld({ warn: (message) => told.push(message), error: () => undefined });
  const redactor = Promise.resolve(createRedactor({ secretValues: ["sk-top-secret-1234"] }));
  return new AttemptHistory(world, agentDir, redactor);
}

it("a line says how an attempt went, and no secret", async () => {
  const agentDir = folder();
  await open(agentDir).add(step, request);
  const [line = "", end] = readFileSync(join(agentDir, "crew/metrics/attempts.jsonl"), "utf8").split("\n");
  expect(end).toBe("");
  const found = JSON.parse(line);
  expect(found).toMatchObject({
    created_at: "2026-11-20T10:00:00.000Z",
    run_id: "run-1",
    task_id: "build",
    attempt: 2,
    project: "shop",
    worker_kind: "pi",
    model: "acme/large",
    outcome: "failed",
    duration_seconds: 1.5,
    exit_code: 137,
    tokens: 10,
    cost_usd: 0.5,
    retryable: true,
  });
  expect(found.error).toMatch(/^token \[REDACTED.*é$/);
  expect([...found.error]).toHaveLength(200);
});

it("a full file is put away, three are kept, and several processes lose no line over it", async () => {
  const agentDir = folder();
  const metrics = join(agentDir, "crew", "metrics");
  mkdirSync(metrics, { recursive: true });
  for (const n of [1, 2, 3, 4]) writeFileSync(join(metrics, `attempts-100000000000${n}-7.jsonl`), "old\n");
  const path = join(metrics, "attempts.jsonl");
  appendFileSync(path, "before\n");
  truncateSync(path, 64 * MB - 1);
  appendFileSync(path, "\n");
  const at = (name: string) => JSON.stringify(join(ROOT, name));
  const script = `
    const { AttemptHistory } = await import(${at("src/workers/attempt-history.ts")});
    const { nodeWorld } = await import(${at("src/system/node.ts")});
    const { createRedactor } = await import(${at("src/system/redaction.ts")});
    const world = nodeWorld({ warn: (...said) => { console.error(...said); process.exitCode = 1; } });
    const history = new AttemptHistory(world, ${JSON.stringify(agentDir)}, Promise.resolve(createRedactor({ secretValues: [] })));
    for (let i = 0; i < 300; i++)
      await history.add({ ...${JSON.stringify(step)}, runId: process.argv[1], attempt: i }, ${JSON.stringify(request)});`;
  const exits = ["a", "b", "c"].map((name) => {
    const args = ["--import", "tsx", "--input-type=module", "-e", script, name];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: "inherit" });
    return new Promise((resolve) => child.on("close", resolve));
  });
  expect(await Promise.all(exits)).toEqual([0, 0, 0]);
  const names = readdirSync(metrics);
  expect(names.length).toBeLessThanOrEqual(4);
  expect(names).not.toContain("attempts-1000000000001-7.jsonl");
  const texts = names.map((name) => readFileSync(join(metrics, name), "utf8"));
  expect(texts.some((text) => text.startsWith("before\n"))).toBe(true);
  const found = texts
    .flatMap((text) => text.split("\n").filter((line) => line.startsWith('{"v":1')))
    .map((line) => JSON.parse(line));
  expect(new Set(found.map(({ run_id, attempt }) => `${run_id} ${attempt}`)).size).toBe(900);
  expect(found).toHaveLength(900);
}, 30_000);

it("what can't be written is told, and fails nothing", async () => {
  const agentDir = folder();
  writeFileSync(join(agentDir, "crew"), "no folder");
  const told: string[] = [];
  await open(agentDir, told).add(step, request);
  expect(told).toEqual(["the attempt is missing in attempts.jsonl"]);
});
