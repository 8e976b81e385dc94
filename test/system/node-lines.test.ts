import { spawn } from "node:child_process";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";

const files = nodeFiles();
let folder: string;
const at = (name: string) => join(folder, name);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "lines-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("openLines", () => {
  it("ends what a killed process left, once", () => {
    writeFileSync(at("log"), '{"half');
    for (const line of ["1\n", "2\n"]) {
      const handle = files.openLines(at("log"));
      handle.write(line);
      handle.close();
    }
    expect(readFileSync(at("log"), "utf8")).toBe('{"half\n1\n2\n');
  });

  it("does not take a line for torn that another process is writing", async () => {
    const script = `
      const fs = require("node:fs");
      const fd = fs.openSync(${JSON.stringify(at("log"))}, "a");
      for (let i = 0; !fs.existsSync(${JSON.stringify(at("stop"))}); i++) fs.writeSync(fd, "x".repeat(400 + (i % 200)) + "\\n");`;
    const other = spawn(process.execPath, ["-e", script], { stdio: "inherit" });
    const ended = new Promise((resolve) => other.on("close", resolve));
    await vi.waitFor(() => expect(statSync(at("log")).size).toBeGreaterThan(0), 20_000);
    for (let looks = 0; looks < 3000; looks++) files.openLines(at("log")).close();
    writeFileSync(at("stop"), "");
    expect(await ended).toBe(0);
    expect(readFileSync(at("log"), "latin1")).not.toMatch(/^$\n/m);
  });
});
