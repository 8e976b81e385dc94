import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { initialRunState } from "../../src/runs/run-state.ts";
import { removeOrphanedArtifacts } from "../../src/store/orphaned-artifacts.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { tempFolder } from "./temp-store.ts";

/** A run that was handed `notes/plan.md`, with these files besides in `artifacts/`. */
async function ended(...others: string[]) {
  const folder = await tempFolder();
  const root = join(folder, "artifacts");
  for (const name of ["notes/plan.md", ...others]) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), name);
  }
  const artifacts = [{ name: "notes/plan.md", path: join(root, "notes/plan.md"), bytes: 1, artifact_hash: "" }];
  const kept = { a: { summary: "", artifacts, commit: null, model: null, fromRunId: "old" } };
  const manifest = manifestOf([taskSpec("a")], { kept });
  const warnings: string[] = [];
  const log = { warn: (text: string) => void warnings.push(text), error: () => undefined };
  const left = () => (readdirSync(folder, { recursive: true }) as string[]).sort();
  return { folder, root, run: { folder, state: initialRunState(manifest), manifest }, warnings, log, left };
}

const OWN = ["artifacts", "artifacts/notes", "artifacts/notes/plan.md"];

it("are removed with their folders, and links without what they lead to", async () => {
  const { folder, root, run, warnings, log, left } = await ended("orphan.txt", "notes/other.txt", "deep/er/x.txt");
  mkdirSync(join(folder, "elsewhere"));
  writeFileSync(join(folder, "elsewhere/x"), "");
  symlinkSync(join(folder, "elsewhere"), join(root, "link"));
  symlinkSync(join(folder, "elsewhere"), join(root, "notes/link"));
  await removeOrphanedArtifacts({ files: nodeFiles(), log }, run);
  expect(left()).toEqual([...OWN, "elsewhere", "elsewhere/x"]);
  expect(warnings).toEqual([]);
});

it.each([1, 2, 3, 4])("take nothing that was told with them when look %i at a folder fails", async (failing) => {
  const { run, log, left } = await ended("notes/other.txt");
  const files = nodeFiles();
  let looks = 0;
  const list = async (path: string) => {
    looks++;
    if (looks === failing) throw Object.assign(new Error("too many open files"), { code: "EMFILE" });
    return files.list(path);
  };
  await removeOrphanedArtifacts({ files: { ...files, list }, log }, run);
  expect(left()).toEqual(expect.arrayContaining(OWN));
});
