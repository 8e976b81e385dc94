import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";
import { resourceFingerprint } from "../../src/workers/resource-fingerprint.ts";

describe("the fingerprint of a session's resources", () => {
  it.each([
    "agent/settings.json",
    "agent/AGENTS.md",
    "agent/extensions/mine/index.ts",
    "agent/skills/one/SKILL.md",
    "work/AGENTS.md",
    "work/project/CLAUDE.md",
    "work/project/.pi/settings.json",
    "work/project/.pi/extensions/probe.ts",
    "work/project/.pi/skills/two/SKILL.md",
    "work/project/.pi/SYSTEM.md",
    "linked/deep.ts",
  ])("changes when %s is made or edited, and only then", async (path) => {
    const root = mkdtempSync(join(tmpdir(), "foreman-print-"));
    const project = join(root, "work/project");
    mkdirSync(join(project, ".pi"), { recursive: true });
    mkdirSync(join(root, "agent/extensions"), { recursive: true });
    mkdirSync(join(root, "linked"));
    symlinkSync(join(root, "linked"), join(root, "agent/extensions/linked"));
    const print = () => resourceFingerprint(nodeFiles(), join(root, "agent"), project);
    const before = await print();
    writeFileSync(join(project, "source.ts"), "x");
    expect(await print()).toBe(before);
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), "1");
    const made = await print();
    expect(made).not.toBe(before);
    writeFileSync(join(root, path), "22");
    expect(await print()).not.toBe(made);
  });
});
