import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { runFolder } from "../support/run-files.ts";
import { goalOf, type PlannedRun, type RoundPlan } from "./plan.ts";

const END = /"type":"crew\.run\.(completed|failed|cancelled)"/;

/** A round as its files show it while it is under way. */
export class RoundFiles {
  /** How many times they have grown, as far as it was seen. */
  steps = 0;
  readonly #plan: RoundPlan;
  readonly #project: string;
  readonly #ledger: string;
  #bytes = 0;
  #grownAt = performance.now();
  #lastTypes: string[] = [];

  constructor(plan: RoundPlan, project: string, ledger: string) {
    this.#plan = plan;
    this.#project = project;
    this.#ledger = ledger;
  }

  /** Whether they have grown since the last look. */
  look(): boolean {
    const bytes = [this.#ledger, ...this.#logs()].reduce((sum, path) => sum + bytesOf(path), 0);
    if (bytes === this.#bytes) return false;
    this.#bytes = bytes;
    this.steps++;
    this.#lastTypes = this.#logs().map((path) => lastType(textOf(path)));
    this.stir();
    return true;
  }

  /** Whether some run's log ends with such an event. */
  isAt(type: string | null): boolean {
    return type === null || this.#lastTypes.includes(type);
  }

  /** Something happens that shows in no file yet. */
  stir(): void {
    this.#grownAt = performance.now();
  }

  quietMs(): number {
    return performance.now() - this.#grownAt;
  }

  /** Runs that nobody has made yet, or whose maker died before there was anything to find. */
  missing(): { run: PlannedRun; at: number }[] {
    const goals = this.#folders().map(manifestIn);
    return this.#plan.runs
      .map((run, at) => ({ run, at }))
      .filter(({ run }) => !goals.some((text) => text.includes(JSON.stringify(goalOf(run)))));
  }

  ended(): boolean {
    const begun = this.#folders().filter((folder) => manifestIn(folder) !== "");
    return this.missing().length === 0 && begun.every((folder) => END.test(logIn(folder)));
  }

  /** The runs that ended and did not complete. */
  unfinished(): string[] {
    const ends = this.#folders().map((folder) => [basename(folder), END.exec(logIn(folder))?.[1]] as const);
    return ends.flatMap(([runId, end]) => (end === "failed" || end === "cancelled" ? [runId] : []));
  }

  /** The first dead letter of a run; null when it has none. */
  letterOf(runId: string): string | null {
    return /"id":"(dl-[^"]*)"/.exec(textOf(join(runFolder(this.#project, runId), "deadletter.jsonl")))?.[1] ?? null;
  }

  /** The runs that have not ended. */
  underWay(): string[] {
    return this.#folders()
      .filter((folder) => logIn(folder) !== "" && !END.test(logIn(folder)))
      .map((folder) => basename(folder));
  }

  /** Some run's tasks may not all have their records yet. */
  unrecorded(): boolean {
    return this.#folders().some(
      (folder) => !existsSync(join(folder, "recorded.json")) && existsSync(join(folder, "manifest.json")),
    );
  }

  standing(): string {
    const last = this.#logs().map((path) => `${path}: ${lastType(textOf(path))}`);
    return [...last, `${this.missing().length} runs not made`].join("; ");
  }

  #logs(): string[] {
    return this.#folders().map((folder) => join(folder, "events.jsonl"));
  }

  #folders(): string[] {
    return namesIn(runFolder(this.#project, "")).map((id) => runFolder(this.#project, id));
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // no run was made yet
  }
}

function manifestIn(folder: string): string {
  return textOf(join(folder, "manifest.json"));
}

function logIn(folder: string): string {
  return textOf(join(folder, "events.jsonl"));
}

function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function lastType(log: string): string {
  return /"type":"([^"]*)"/.exec(log.trimEnd().split("\n").at(-1) ?? "")?.[1] ?? "";
}
