import { mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { applyExports, planExports } from "../../src/store/old-exports.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { tempFolder } from "./temp-store.ts";

const NOW = Date.UTC(2026, 5, 30);
const files = nodeFiles();

async function exported(...names: string[]) {
  const root = await tempFolder();
  const folder = join(root, "exports");
  mkdirSync(folder);
  for (const name of names) writeFileSync(join(folder, name), "x".repeat(1000));
  return { root, folder };
}

it("are those of that age by their names, the oldest first, and nothing that is called otherwise", async () => {
  const { root, folder } = await exported(
    "run-b-20260530000000001.json",
    "run-a-20260101120000000.json",
    "run-a-20260101120000000.html",
    "run-z-20260529235959999.html",
    ".gitignore",
    "notes-20200101000000000.txt",
    "20200101000000000.json",
  );
  symlinkSync(join(folder, ".gitignore"), join(folder, "run-l-20200101000000000.json"));
  mkdirSync(join(folder, "run-d-20200101000000000.json"));
  const plan = await planExports(files, root, 31, NOW);
  const old = ["run-a-20260101120000000.html", "run-a-20260101120000000.json", "run-z-20260529235959999.html"];
  expect(plan).toEqual({ remove: old.map((name) => ({ name, bytes: 1000 })), bytes: 3000 });
  expect(await planExports(files, join(root, "none"), 0, NOW)).toEqual({ remove: [], bytes: 0 });
  const before = readdirSync(folder);
  expect(await applyExports(files, root, plan)).toEqual({ removed: old, bytes: 3000, skipped: [] });
  expect(readdirSync(folder)).toEqual(before.filter((name) => !old.includes(name)));
});

it("stay when the folder or a file is another one than was previewed", async () => {
  const { root, folder } = await exported("run-a-20260101120000000.json", "run-b-20260101120000000.json");
  const plan = await planExports(files, root, 31, NOW);
  renameSync(join(folder, "run-a-20260101120000000.json"), join(folder, "a"));
  symlinkSync("a", join(folder, "run-a-20260101120000000.json"));
  const first = await applyExports(files, root, plan);
  expect([first.removed, first.skipped.map(({ name }) => name)]).toEqual([
    ["run-b-20260101120000000.json"],
    ["run-a-20260101120000000.json"],
  ]);
  renameSync(folder, join(root, "elsewhere"));
  symlinkSync("elsewhere", folder);
  expect((await applyExports(files, root, plan)).removed).toEqual([]);
  expect((await planExports(files, root, 0, NOW)).remove).toEqual([]);
});
