import { appendFile, cp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { sealedLine } from "../../src/events/event-line.ts";
import { DeadLetters } from "../../src/store/dead-letters.ts";
import { quietWorld } from "../engines/engine-bench.ts";
import { tempFolder } from "../store/temp-store.ts";
import { processesVisible } from "../support/processes.ts";
import { runFolder, runIds } from "../support/run-files.ts";
import type { LedgerLine } from "./ledger.ts";
import { judgeProject } from "./oracle.ts";
import { planRound, type RoundPlan } from "./plan.ts";
import { playRound, type RoundReport } from "./round.ts";

const ROUNDS = 6;
const PARALLEL = 2;

async function played(plan: RoundPlan): Promise<RoundReport> {
  const report = await playRound(plan);
  onTestFinished(() => rm(report.folder, { recursive: true, force: true }));
  return report;
}

describe.skipIf(!processesVisible)("the soak", () => {
  it("finds nothing lost, nothing done twice and nothing left, whoever is killed", { timeout: 240_000 }, async () => {
    const seeds = Array.from({ length: 100 }, (_, at) => at + 1);
    const plans = seeds.map((seed) => planRound(seed, true)).filter(({ blows }) => blows.length > 1);
    const left = plans.slice(0, ROUNDS);
    const reports: RoundReport[] = [];
    const play = async () => {
      for (let plan = left.shift(); plan; plan = left.shift()) reports.push(await played(plan));
    };
    await Promise.all(Array.from({ length: PARALLEL }, play));
    expect(reports.flatMap(({ faults, folder }) => faults.map((fault) => `${folder}: ${fault}`))).toEqual([]);
    expect(reports.flatMap(({ blows }) => Object.keys(blows)).length).toBeGreaterThan(ROUNDS / 2);
  });

  it("would see what it looks for", { timeout: 120_000 }, async () => {
    const good = await played({ ...planRound(1, false), blows: [] });
    expect(good.faults).toEqual([]);
    const [runId = ""] = await runIds(good.project);
    for (const { name, plant, found } of defects(runId)) {
      const project = join(await tempFolder(), "project");
      await cp(good.project, project, { recursive: true });
      const ledger = await plant({ project, folder: runFolder(project, runId), ledger: [...good.ledger] });
      const { faults } = await judgeProject(project, ledger);
      expect(faults.join("\n"), name).toMatch(found);
    }
  });
});

interface Place {
  project: string;
  folder: string;
  ledger: LedgerLine[];
}

interface Defect {
  name: string;
  plant(place: Place): Promise<LedgerLine[]>;
  found: RegExp;
}

function defects(runId: string): Defect[] {
  const inLog = (change: (lines: string[]) => string[]) => async (place: Place) => {
    const path = join(place.folder, "events.jsonl");
    const lines = (await readFile(path, "utf8")).split("\n").filter(Boolean);
    await writeFile(path, `${change(lines).join("\n")}\n`);
    return place.ledger;
  };
  const inLedger = (change: (lines: LedgerLine[]) => LedgerLine[]) => async (place: Place) => change(place.ledger);
  const first = (lines: LedgerLine[], kind: "begin" | "effect") =>
    lines.find((line) => line.kind === kind && line.runId === runId) as LedgerLine;
  return [
    {
      name: "an effect twice",
      plant: inLedger((lines) => [...lines, first(lines, "effect")]),
      found: /did attempt 1 2 times/,
    },
    {
      name: "an effect missing",
      plant: inLedger((lines) => lines.filter((line) => line !== first(lines, "effect"))),
      found: /has 0 effects of attempt 1, which is completed/,
    },
    {
      name: "an attempt begun twice",
      plant: inLedger((lines) => lines.flatMap((line) => (line === first(lines, "begin") ? [line, line] : [line]))),
      found: /began attempt 1 twice/,
    },
    {
      name: "a gap",
      plant: inLog((lines) => lines.filter((_, at) => at !== 8)),
      found: /"missing":1.*\n.*seq is 1 2 3/,
    },
    { name: "no end", plant: inLog((lines) => lines.slice(0, -1)), found: /it has 0 ends/ },
    { name: "a torn line", plant: inLog((lines) => [...lines, '{"v":1,"seq":']), found: /log is not whole/ },
    {
      name: "a cancel that nobody asked for",
      plant: inLog((lines) => [...lines.slice(0, -1), cancelled(lines.at(-1) ?? "")]),
      found: /nobody cancelled it/,
    },
    {
      name: "a cancel that was not obeyed",
      plant: inLedger((lines) => [...lines, { kind: "cancel", runId, heardAt: 0 }]),
      found: /begins an attempt \d+ ms after a session said that it is cancelled/,
    },
    { name: "a dead letter twice", plant: plantDeadLetter(runId), found: /2 lines of dead letters for 1 letters/ },
    {
      name: "a record twice",
      plant: inRecords((lines) => [...lines, ...lines.slice(0, 1)]),
      found: /records are kept/,
    },
    { name: "a record missing", plant: inRecords((lines) => lines.slice(1)), found: /records are kept of/ },
    { name: "a false snapshot", plant: plantSnapshot, found: /is not the fold of the log/ },
    {
      name: "work done by two runs at once",
      plant: plantFollowers(runId),
      found: /t0, .* are done by .* at once/,
    },
    {
      name: "work done again by a resume",
      plant: plantFollowers(runId),
      found: /t0, .* which was asked for once/,
    },
    {
      name: "a redrive that was not",
      plant: inLog((lines) => [...lines, redriven(lines.at(-1) ?? "")]),
      found: /its log tells that t0 as elsewhere is redriven, and nothing is/,
    },
    {
      name: "an unfinished file",
      plant: async ({ folder, ledger }) => {
        await writeFile(join(folder, ".state.json.1.ab.tmp"), "");
        return ledger;
      },
      found: /\.state\.json\.1\.ab\.tmp was left/,
    },
  ];
}

function cancelled(line: string): string {
  const { crc: _crc, ...end } = JSON.parse(line);
  return sealedLine({ ...end, type: "crew.run.cancelled", status: "cancelled" }).trimEnd();
}

function redriven(line: string): string {
  const { crc: _crc, v, seq, ts, epoch, runId, traceId, spanId } = JSON.parse(line);
  const told = { type: "crew.task.redriven", taskId: "t0", newRunId: "elsewhere" };
  return sealedLine({ v, seq: seq + 1, ts, epoch, runId, traceId, spanId, ...told }).trimEnd();
}

function inRecords(change: (lines: string[]) => string[]): Defect["plant"] {
  return async ({ project, ledger }) => {
    const folder = join(project, ".crew/metrics/tasks");
    for (const name of (await readdir(folder)).filter((it) => it.endsWith(".jsonl"))) {
      const path = join(folder, name);
      const lines = (await readFile(path, "utf8")).split("\n").filter(Boolean);
      await writeFile(path, `${change(lines).join("\n")}\n`);
    }
    return ledger;
  };
}

function plantDeadLetter(runId: string): Defect["plant"] {
  return async ({ project, folder, ledger }) => {
    const letters = new DeadLetters(quietWorld(), join(project, ".crew"));
    await letters.add({ runId, taskId: "t0", reason: "max-retries", attempts: 3 });
    const path = join(folder, "deadletter.jsonl");
    await appendFile(path, await readFile(path, "utf8"));
    return ledger;
  };
}

/** Two runs that go on with one, and have its log. */
function plantFollowers(runId: string): Defect["plant"] {
  return async ({ project, folder, ledger }) => {
    for (const newId of [`${runId}-f1`, `${runId}-f2`]) {
      const path = join(runFolder(project, newId), "manifest.json");
      await cp(folder, runFolder(project, newId), { recursive: true });
      const manifest = JSON.parse(await readFile(path, "utf8"));
      await writeFile(path, JSON.stringify({ ...manifest, runId: newId, resumedFrom: runId }));
    }
    return ledger;
  };
}

const plantSnapshot: Defect["plant"] = async ({ folder, ledger }) => {
  const path = join(folder, "state.json");
  const { crc: _crc, ...snapshot } = JSON.parse(await readFile(path, "utf8"));
  await writeFile(path, sealedLine({ ...snapshot, state: { ...snapshot.state, costUsd: 1000 } }));
  return ledger;
};
