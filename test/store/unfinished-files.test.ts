import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { removeUnfinishedFiles } from "../../src/store/unfinished-files.ts";
import { quietWorld } from "../engines/engine-bench.ts";
import { tempFolder } from "./temp-store.ts";

it("removes what killed writers left in an ended run, and nothing else", async () => {
  const folder = await tempFolder();
  const unfinished = [".state.json.7.ab12.tmp", "inbox/.r1.json.7.ab.tmp", "tasks/a/a0001/.meta.json.9.cd34.tmp"];
  const underWay = [".recorded.json.7.ab.tmp", ".recording-2.json.7.ab.tmp", ".again-b-1.json.7.ab.tmp"];
  const kept = [
    ...underWay,
    "events.jsonl",
    ".hidden",
    "inbox/r2.json",
    "tasks/a/a0001/notes.tmp",
    "tasks/a/a0001/state.json",
  ];
  for (const path of [...unfinished, ...kept]) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), "");
  }
  await removeUnfinishedFiles(quietWorld(), folder);
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  expect(found.filter((it) => it.isFile()).map((it) => it.name)).toEqual(
    expect.arrayContaining(kept.map((path) => path.split("/").at(-1))),
  );
  expect(found.filter((it) => it.isFile())).toHaveLength(kept.length);
});

it.each(["tasks", "tasks/a", "tasks/a/a0001", "inbox"])("leads nowhere through a link in place of %s", async (link) => {
  const [folder, elsewhere] = [await tempFolder(), await tempFolder()];
  const below = ["tasks", "a", "a0001"].slice(link.split("/").length);
  const place = link === "inbox" ? elsewhere : join(elsewhere, ...below);
  const folderOfOthers = join(place, ".precious.tmp");
  await mkdir(folderOfOthers, { recursive: true });
  await mkdir(dirname(join(folder, link)), { recursive: true });
  await symlink(elsewhere, join(folder, link));
  await removeUnfinishedFiles(quietWorld(), folder);
  expect(await readdir(place)).toEqual([".precious.tmp"]);
});
