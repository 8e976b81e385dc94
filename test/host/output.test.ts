import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { describe, expect, it } from "vitest";
import { say } from "../../src/host/output.ts";

const EVIL = "a\u001b]0;title\u0007\u001b[2J\u009b1m\u202eb\r\n\tc";
const SAFE = "ab\n\tc";

/** What the host was given. */
async function said(mode: string, severity: "info" | "error", text = EVIL): Promise<unknown[]> {
  const told: unknown[] = [];
  const pi = { sendMessage: (message: { content: string }) => told.push(message.content) };
  const ctx = { mode, hasUI: mode === "tui" || mode === "rpc", ui: { notify: (it: string) => told.push(it) } };
  await say(pi as unknown as ExtensionAPI, ctx as unknown as ExtensionContext, text, severity);
  return told;
}

describe("what is shown can't steer a terminal", () => {
  it.each([
    ["rpc", "info"],
    ["json", "info"],
    ["tui", "error"],
  ] as const)("in mode %s, as %s", async (mode, severity) => {
    expect(await said(mode, severity)).toEqual([SAFE]);
  });

  it("in the TUI, where only our own end of the dim grey is left", async () => {
    expect(await said("tui", "info")).toEqual(["\u001b[22m\u001b[39mab\n\u001b[22m\u001b[39m\tc"]);
  });

  it("on the command line", async () => {
    const cli = resolve(import.meta.dirname, "../../src/host/cli.mjs");
    const failed = await promisify(execFile)(process.execPath, [cli, EVIL]).catch((error: unknown) => error);
    expect(failed).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no "ab') });
    expect((failed as { stderr: string }).stderr).not.toContain("\u001b");
  });
});
