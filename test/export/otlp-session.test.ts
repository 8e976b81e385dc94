import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, expect, it, onTestFinished } from "vitest";
import { startCollector } from "../support/otlp-collector.ts";
import { waitUntil } from "../support/processes.ts";

const SESSION = join(import.meta.dirname, "../fixtures/otlp-session.ts");

function session(url: string, mode: "idle" | "dispose"): ChildProcess {
  const child = spawn(process.execPath, ["--import", "tsx", SESSION, url, mode], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

describe("a process with an exporter", () => {
  it("ends when it has nothing else to do, a push under way or not", async () => {
    const collector = await startCollector();
    collector.answer = () => "hang";
    const child = session(collector.url, "idle");
    await waitUntil(() => collector.asked.length === 1, 30_000);
    const ended = once(child, "exit");
    child.stdin?.end("go\n");
    expect(await ended).toEqual([0, null]);
  });

  it("stays until its last push has been answered", async () => {
    const collector = await startCollector();
    const child = session(collector.url, "dispose");
    const said = await text(child.stdout!);
    expect(JSON.parse(said)).toMatchObject({ signal: "metrics", accepted: 1, itemsSent: 1, itemsLost: 0 });
    expect(collector.asked).toHaveLength(1);
  });
});
