import { expect, it } from "vitest";
import { loadCatalog } from "../../src/catalog/load-catalog.ts";
import { doctorCommand } from "../../src/host/command-doctor.ts";
import type { CommandCall } from "../../src/host/commands.ts";
import { HEALTHY_LOG, type LogHealth } from "../../src/store/run-log-reader.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const UNTRIED = { host: "h", accepted: 0, failed: 0, itemsSent: 0, itemsRejected: 0, itemsLost: 0, lastError: null };

/** The doctor of a project at `/p` whose files are given. */
function doctor(
  files: MemoryFiles,
  host: { isProjectTrusted?: () => boolean } = {},
  logs: Record<string, Partial<LogHealth> | Error> = {},
): Promise<string | null> {
  const views = async (_limit: number, unreadable: (runId: string, error: unknown) => void) =>
    Object.entries(logs).flatMap(([runId, health]) => {
      // what `state.json` remembers may be better than the log
      if (!(health instanceof Error)) return { manifest: { runId }, health: HEALTHY_LOG };
      unreadable(runId, health);
      return [];
    });
  const log = async (runId: string) => {
    if (runId === "unread") throw new Error("EIO: its disk failed");
    return { health: { ...HEALTHY_LOG, ...logs[runId] } };
  };
  const session = {
    world: { files },
    cwd: "/p",
    agentDir: "/agent",
    model: "provider/model",
    catalog: () => loadCatalog(files, [{ origin: "project", root: "/p/.crew", holds: "crew" }]),
    runs: async () => ({ store: { crewRoot: "/p/.crew", log }, views }),
    telemetry: async () => ({
      problems: ["a setting of its own"],
      otlp: () => ({
        channels: [
          { ...UNTRIED, signal: "metrics" },
          { ...UNTRIED, signal: "traces", accepted: 1 },
        ],
      }),
      exporters: () => [
        { name: "plugged", pushed: 3, failed: 1, skipped: 2, lastError: "away" },
        { name: "textfile", pushed: 0, failed: 0, skipped: 0, lastError: null },
      ],
    }),
    config: () => Promise.reject(new Error("the session's own configuration is that of its start")),
  };
  return doctorCommand({ ctx: host, session } as unknown as CommandCall);
}

const AGENT = "---\nname: hand\ndescription: does it\n---\nYou are a hand.\n";

it("reads the configuration as it is now", async () => {
  const files = new MemoryFiles({ "/p/.crew/config.json": '{"limits":{"attemptTimeoutSec":0}}' });
  expect(await doctor(files)).toContain("✗ limits.attemptTimeoutSec = 0 in /p/.crew/config.json");
  await files.writeAtomic("/p/.crew/config.json", "{}");
  expect(await doctor(files)).toContain("configuration: no problems");
  expect(await doctor(files)).toContain("! a setting of its own");
  expect(await doctor(files)).toContain("✗ plugged: pushed 3 times, 1 failed, 2 skipped (away)");
});

it("praises no exporter that was never tried", async () => {
  const text = await doctor(new MemoryFiles());
  expect(text).toContain("· OTLP metrics to h: not tried yet");
  expect(text).toContain("✓ OTLP traces to h: 1 request accepted");
  expect(text).toContain("· textfile: not tried yet");
});

it("says that definitions are untrusted when the host says that the project is", async () => {
  const files = new MemoryFiles({ "/p/.crew/agents/hand.md": AGENT });
  const untrusted = await doctor(files, { isProjectTrusted: () => false });
  expect(untrusted).toContain("! you have not trusted this project in Pi, and it brings 1 definition:");
  expect(untrusted).toContain("  from the project, untrusted: /p/.crew/agents/hand.md");
  for (const host of [{}, { isProjectTrusted: () => true }]) {
    const text = await doctor(files, host);
    expect(text).toContain("  from the project: /p/.crew/agents/hand.md");
    expect(text).not.toContain("trusted");
  }
  expect(await doctor(new MemoryFiles(), { isProjectTrusted: () => false })).not.toContain("trusted");
});

it("tells of each run whose log lost something, or has a line that was cut off", async () => {
  const files = new MemoryFiles({});
  expect(await doctor(files)).not.toContain("log");
  expect(await doctor(files, {}, { a: {}, b: {} })).toContain("✓ the logs of the newest runs (2) are whole");
  const text = await doctor(files, {}, { a: {}, b: { torn: 1 }, c: { bad: 2 }, d: new Error("it is damaged") });
  expect(text).not.toMatch(/whole|run a/);
  expect(await doctor(files, {}, { unread: {} })).toContain("✗ run unread: EIO: its disk failed");
  expect(text).toContain("· run b: its log has 1 line cut off within the writing, which costs nothing");
  expect(text).toContain("✗ run c: its log is unreadable in part: 2 damaged lines");
  expect(text).toContain("✗ run d: it is damaged");
});

it("prints names of files so that they can't steer a terminal or forge a line", async () => {
  const files = new MemoryFiles({ "/p/.crew/agents/a\u001b[2J\n✓ all is well.md": AGENT });
  const text = await doctor(files);
  expect(text).not.toContain("\u001b");
  expect(text?.split("\n")).not.toContain("✓ all is well.md");
  expect(text).toContain("/p/.crew/agents/a ✓ all is well.md");
});
