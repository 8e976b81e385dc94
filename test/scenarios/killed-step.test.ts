import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { nodeWorld } from "../../src/system/node.ts";
import { readAttemptFacts } from "../../src/workers/attempt-facts.ts";
import { readAttemptState } from "../../src/workers/attempt-folder.ts";
import { runStep } from "../../src/workers/run-step.ts";
import { createShellKind } from "../../src/workers/shell-kind.ts";
import type { LifecycleEvent, StepRequest } from "../../src/workers/step-contract.ts";
import { tempFolder } from "../store/temp-store.ts";
import { makeRepo, putTree, readTree, repoState } from "../support/git-repo.ts";

const SCRIPT = fileURLToPath(new URL("killed-step.ts", import.meta.url));
const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const BASE = { "a.txt": { text: "one\n" }, "gone.txt": { text: "gone\n" }, "run.sh": { text: "#!/bin/sh\n" } };
const WORK = "echo two >> a.txt; rm gone.txt; chmod +x run.sh; mkdir d; printf 'x\\0y' > d/new.bin; ln -s a.txt link";
const FAILING = `${WORK}; exit 3`;

/** Where a worker is killed, with the command it was at, and whether its work had been kept by then. */
const DEATHS: [pattern: string, when: "before" | "after", command: string, kept: boolean][] = [
  ['worker.log .*"type":"worker_started"', "before", WORK, false],
  ['worker.log .*"type":"worker_started"', "after", WORK, false],
  ['worker.log .*"type":"checkpoint_slot_reserved"', "after", WORK, false],
  ["0001\\.patch $", "before", WORK, false],
  ["0001\\.patch $", "after", WORK, false],
  ["0001\\.json $", "after", WORK, true],
  ['worker.log .*"type":"checkpoint_created"', "after", WORK, true],
  ['worker.log .*"type":"worker_exited"', "after", WORK, true],
  ['worker.log .*"type":"step_completed"', "before", WORK, true],
  ['worker.log .*"type":"step_completed"', "after", WORK, true],
  ['worker.log .*"type":"step_failed"', "after", FAILING, true],
];

function requestOf(root: string, repo: string, attempt: number, change: Partial<StepRequest>): StepRequest {
  const attemptFolder = join(root, `tasks/t/a000${attempt}`);
  return {
    ...{
      taskId: "t",
      stepId: `t:${attempt}`,
      runId: `killed-${process.pid}-${root.slice(-6)}`,
      attempt,
      stepName: "t",
    },
    ...{ stepKind: "shell", workerKind: "shell", timeoutSec: 60, createdAt: "2026-01-01T00:00:00.000Z" },
    ...{ promptSummary: "", command: WORK, assignment: null, verify: "", checkpoint: { mode: "end" } },
    runtime: { repoRoot: repo, worktreePath: repo, attemptFolder, env: {} },
    ...change,
  };
}

describe("a worker killed by SIGKILL", { timeout: 60_000 }, () => {
  it.each(DEATHS)(
    "at %s (%s) leaves a folder that is read, and work that is put back",
    async (pattern, when, command, kept) => {
      const root = await tempFolder();
      const repo = makeRepo(join(root, "repo"), BASE);
      const before = repoState(repo);
      const first = requestOf(root, repo, 1, { command });
      const args = ["--import", "tsx", SCRIPT, JSON.stringify(first), pattern, when];
      const child = spawn(process.execPath, args, { stdio: "inherit" });
      const [code, signal] = await once(child, "exit");
      expect([code, signal]).toEqual([null, "SIGKILL"]);

      const { attemptFolder } = first.runtime;
      const state = await readAttemptState(world.files, attemptFolder);
      expect(state).toMatchObject({ status: "running", pid: child.pid });
      expect(await readAttemptFacts(world, attemptFolder)).toMatchObject({ process: "dead", ended: false });
      const lines = readFileSync(join(attemptFolder, "worker.log"), "utf8").split("\n").filter(Boolean);
      const events = lines.map((line) => JSON.parse(line) as LifecycleEvent);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
      expect(repoState(repo)).toEqual(before);

      const left = readTree(repo);
      const checkpoints = join(attemptFolder, "checkpoints");
      const records = readdirSync(mkdirIfNone(checkpoints)).filter((name) => name.endsWith(".json"));
      expect(records).toEqual(kept ? ["0001.json"] : []);
      const kinds = { shell: createShellKind(world) };
      const options = { workerId: `w-${process.pid}`, kinds };
      if (kept) {
        putTree(repo, { "a.txt": { text: "somebody else's\n" } });
        const checkpoint = { mode: "end" as const, resumeFromSeq: 1 };
        const again = await runStep(world, requestOf(root, repo, 2, { command: "true", checkpoint }), options);
        expect(again).toMatchObject({ ok: true, changes: { locAdded: 2, locRemoved: 1, filesChanged: 5 } });
        expect(readTree(repo)).toEqual(left);
        // what was overwritten is kept too
        expect(readdirSync(join(root, "tasks/t/a0002/checkpoints"))).toContain("0002.patch");
        expect(again.metrics.checkpointCount).toBe(2);
      } else {
        putTree(repo, BASE);
        const again = await runStep(world, requestOf(root, repo, 2, {}), options);
        expect(again).toMatchObject({ ok: true, changes: { filesChanged: 5 } });
        // a number that was begun is not given again
        const number = again.checkpoint?.seq ?? 0;
        expect(readdirSync(checkpoints)).not.toContain(`000${number}.patch`);
      }
      expect(repoState(repo)).toEqual(before);
    },
  );
});

function mkdirIfNone(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return folder;
}
