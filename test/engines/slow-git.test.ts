import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tempFolder } from "../store/temp-store.ts";
import { makeRepo } from "../support/git-repo.ts";
import { never, openBench, recordHooks } from "./engine-bench.ts";

/** A git that takes its time, as it does in a large repository, and says when it is done. */
function slowGit(folder: string): { path: string; done: () => string } {
  mkdirSync(folder, { recursive: true });
  const marks = join(folder, "marks");
  const git = join(folder, "git");
  const path = process.env["PATH"] ?? "";
  writeFileSync(git, `#!/bin/sh\nsleep 1\nPATH='${path}' git "$@"\ncode=$?\necho x >> '${marks}'\nexit $code\n`);
  chmodSync(git, 0o755);
  return { path: `${folder}:${path}`, done: () => (existsSync(marks) ? readFileSync(marks, "utf8") : "") };
}

it("a model is asked while git still looks at the work folder, and no tool runs before it has", async () => {
  const git = slowGit(await tempFolder());
  const done: string[] = [];
  await using bench = await openBench(
    ({ number }) => {
      done.push(git.done());
      return number > 1 ? { text: "Made." } : { tools: [{ name: "write", args: { path: "made", content: "1\n2\n" } }] };
    },
    { folder: { env: { PATH: git.path } } },
  );
  makeRepo(bench.folder.project);
  const order = bench.order({ task: { timeoutSec: 20 } });
  const report = await bench.engine.execute(order, `w1-${process.pid}`, recordHooks(), never);
  // nothing would have changed since a look that came after the tool
  expect(report).toMatchObject({ outcome: "completed", changes: { filesChanged: 1, locAdded: 2 } });
  expect(done[0]).toBe("");
  expect(done[1]).not.toBe("");
}, 30_000);
