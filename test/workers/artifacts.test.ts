import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";
import { collectOutputs, keepArtifacts } from "../../src/workers/artifacts.ts";
import { tempFolder } from "../store/temp-store.ts";

const files = nodeFiles();

async function place() {
  const root = await tempFolder();
  const [work, attempt, run, elsewhere] = ["work", "attempt", "run", "elsewhere"].map((name) => join(root, name));
  for (const folder of [work, attempt, run, elsewhere]) mkdirSync(folder ?? "");
  writeFileSync(join(root, "secret"), "secret");
  writeFileSync(join(root, "elsewhere/secret"), "secret");
  return { root, work: work ?? "", attempt: attempt ?? "", run: run ?? "", elsewhere: elsewhere ?? "" };
}

describe("what a step hands over", () => {
  it("is copied with its size and hash, first beside the attempt, then into the run", async () => {
    const { work, attempt, run } = await place();
    mkdirSync(join(work, "notes"));
    const bytes = Buffer.from([0, 255, 10, 13]);
    writeFileSync(join(work, "notes/plan ä.md"), bytes);
    const collected = await collectOutputs(files, work, ["notes/plan ä.md"], attempt);
    writeFileSync(join(work, "notes/plan ä.md"), "changed since");
    const kept = await keepArtifacts(files, collected, run);
    const path = join(run, "artifacts/notes/plan ä.md");
    const artifact_hash = createHash("sha256").update(bytes).digest("hex");
    expect(kept).toEqual([{ name: "notes/plan ä.md", path, bytes: 4, artifact_hash }]);
    expect(readFileSync(path)).toEqual(bytes);
    // by an owner who died before it could say so
    expect(await keepArtifacts(files, collected, run)).toEqual(kept);
    writeFileSync(collected[0]?.path ?? "", "changed");
    await expect(keepArtifacts(files, collected, run)).rejects.toThrow("is not the file its step handed over");
    expect(readFileSync(path)).toEqual(bytes);
  });

  it("is refused with a sentence when it is missing, or can't be a file of the work folder", async () => {
    const { root, work, attempt, elsewhere } = await place();
    symlinkSync(join(root, "secret"), join(work, "link"));
    symlinkSync(elsewhere, join(work, "away"));
    mkdirSync(join(work, "folder"));
    const why = (name: string) => collectOutputs(files, work, [name], attempt).then(String, String);
    expect(await why("gone.md")).toContain(`to hand over gone.md, but ${join(work, "gone.md")} is not there.`);
    expect(await why("gone/deep.md")).toContain("is not there");
    expect(await why("link")).toContain("is a symlink, not a real file");
    expect(await why("away/secret")).toContain("is a symlink, not a real directory");
    expect(await why("folder")).toContain("is a directory, not a real file");
    for (const name of [
      "../secret",
      "a/../../secret",
      join(root, "secret"),
      "",
      "a\0b",
      "./x",
      "a//b",
      "a\\b",
      ".git/x",
    ])
      expect(await why(name)).toContain("name a file below its folder");
    expect(readdirSync(attempt)).toEqual([]);
  });

  it("is not written through planted links", async () => {
    const { work, attempt, run, elsewhere } = await place();
    writeFileSync(join(work, "a"), "a");
    mkdirSync(join(work, "deep"));
    writeFileSync(join(work, "deep/b"), "b");
    symlinkSync(elsewhere, join(attempt, "artifacts"));
    await expect(collectOutputs(files, work, ["a"], attempt)).rejects.toThrow("must be a real folder");
    mkdirSync(join(run, "artifacts"));
    symlinkSync(elsewhere, join(run, "artifacts/deep"));
    await expect(collectOutputs(files, work, ["deep/b"], run)).rejects.toThrow("must be a real folder");
    symlinkSync(join(elsewhere, "secret"), join(run, "artifacts/a"));
    await collectOutputs(files, work, ["a"], run);
    expect(readFileSync(join(elsewhere, "secret"), "utf8")).toBe("secret");
    expect(existsSync(join(elsewhere, "b"))).toBe(false);
    const planted = { name: "x", path: join(work, "planted"), bytes: 6, artifact_hash: "" };
    symlinkSync(join(elsewhere, "secret"), planted.path);
    await expect(keepArtifacts(files, [planted], run)).rejects.toThrow("no real file");
  });
});
