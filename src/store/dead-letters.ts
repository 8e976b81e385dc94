import { createHash } from "node:crypto";
import { join } from "node:path";
import type { EventError } from "../events/crew-event.ts";
import { sealedLine } from "../events/event-line.ts";
import type { DeadLetterReason } from "../runs/run-state.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { Clock, Files, Random } from "../system/world.ts";
import { type DeadLetter, foldDeadLetters } from "./dead-letter-lines.ts";
import { runPaths, runsFolder } from "./layout.ts";

/** A run has a few tasks and three reasons; more than this was not written by us. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;
const RUNS_READ_MAX = 2000;

export interface DeadLetterList {
  /** Newest first. */
  letters: DeadLetter[];
  /** Lines that could not be read. */
  bad: number;
  /** There were more. */
  more: boolean;
}

/**
 * `deadletter.jsonl` of each run of a project: tasks given up on, and what became of them, one line each, only
 * appended. A torn or damaged line costs itself alone.
 */
export class DeadLetters {
  readonly #files: Files;
  readonly #clock: Pick<Clock, "now">;
  readonly #random: Pick<Random, "hex">;
  readonly #crewRoot: string;
  /** Lines this process failed to write: found in the file later, they may still be in no disk. */
  readonly #unsure = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();

  constructor(world: { files: Files; clock: Pick<Clock, "now">; random: Pick<Random, "hex"> }, crewRoot: string) {
    this.#files = world.files;
    this.#clock = world.clock;
    this.#random = world.random;
    this.#crewRoot = crewRoot;
  }

  /**
   * Keeps a task that was given up on; resolves when it is on disk. One entry per task and reason: for a second one
   * `added` is false. `lastError` is redacted already. Throws a UserError when it can't be written, and the user has
   * to see that.
   */
  add(letter: {
    runId: string;
    taskId: string;
    reason: DeadLetterReason;
    attempts: number;
    lastError?: EventError;
  }): Promise<{ letter: DeadLetter; added: boolean }> {
    const { runId, taskId, reason, attempts, lastError } = letter;
    return this.#inTurn(async () => {
      const id = deadLetterId(runId, taskId, reason);
      const known = (await this.ofRun(runId)).letters.find((one) => one.id === id);
      if (known && !this.#unsure.has(id)) return { letter: known, added: false };
      const timestamp = this.#now();
      const entry = { id, runId, taskId, reason, attempts, ...(lastError ? { lastError } : {}), timestamp };
      this.#unsure.add(id);
      await this.#append(runId, entry);
      this.#unsure.delete(id);
      return { letter: known ?? { ...entry, status: "open" }, added: known === undefined };
    });
  }

  /** Of one run, in the order of writing. */
  async ofRun(runId: string): Promise<{ letters: DeadLetter[]; bad: number }> {
    const path = this.#path(runId);
    const facts = await this.#files.facts(path);
    if (facts === null) return { letters: [], bad: 0 };
    if (facts.kind !== "file") return { letters: [], bad: 1 };
    const bytes = await this.#files.readRange(path, 0, FILE_BYTES_MAX);
    const { letters, bad } = foldDeadLetters(runId, Buffer.from(bytes ?? []).toString());
    return { letters, bad: bad + (facts.bytes > FILE_BYTES_MAX ? 1 : 0) };
  }

  /** Of all runs that are kept, newest first, at most `limit`; with `openOnly` those nobody dealt with yet. */
  async list(options: { limit: number; openOnly?: boolean }): Promise<DeadLetterList> {
    const runIds = (await this.#files.list(runsFolder(this.#crewRoot))).filter((name) => !name.startsWith("."));
    const letters: DeadLetter[] = [];
    let bad = 0;
    for (const runId of runIds.reverse().slice(0, RUNS_READ_MAX)) {
      const run = await this.#ofFolder(runId);
      bad += run.bad;
      letters.push(...run.letters.reverse().filter(({ status }) => !options.openOnly || status === "open"));
    }
    letters.sort((a, b) => Date.parse(b.timestamp) - Date.parse(a.timestamp));
    const more = letters.length > options.limit || runIds.length > RUNS_READ_MAX;
    return { letters: letters.slice(0, options.limit), bad, more };
  }

  /** The letter whose id is, or begins with, `text`. Throws a UserError when there is none or more than one. */
  async find(text: string): Promise<DeadLetter> {
    const { letters } = await this.list({ limit: Number.POSITIVE_INFINITY });
    const found = letters.filter(({ id }) => text !== "" && id.startsWith(text));
    if (found.length === 1 && found[0]) return found[0];
    throw new UserError(
      "unknown-dead-letter",
      `${found.length > 1 ? "More than one dead letter is" : "No dead letter is"} called ` +
        `${JSON.stringify(text.slice(0, 80))}. /team-deadletters lists them with their ids.`,
    );
  }

  /** Nobody needs it any more. False when it was dealt with already: the first mark in the file stands. */
  discard(letter: { runId: string; id: string }): Promise<boolean> {
    return this.#mark(letter, { mark: "discarded" });
  }

  /** It runs again as `newRunId`. False when it was dealt with already, also by another process just now. */
  redriven(letter: { runId: string; id: string }, newRunId: string): Promise<boolean> {
    return this.#mark(letter, { mark: "redriven", newRunId });
  }

  #mark(
    { runId, id }: { runId: string; id: string },
    mark: { mark: "discarded" } | { mark: "redriven"; newRunId: string },
  ): Promise<boolean> {
    return this.#inTurn(async () => {
      const letter = (await this.ofRun(runId)).letters.find((one) => one.id === id);
      if (letter?.status !== "open") return false;
      const timestamp = this.#now();
      const by = this.#random.hex(8);
      await this.#append(runId, { id, ...mark, timestamp, by });
      const marked = (await this.ofRun(runId)).letters.find((one) => one.id === id);
      return marked !== undefined && marked.status !== "open" && marked.markedBy === by;
    });
  }

  async #ofFolder(runId: string): Promise<{ letters: DeadLetter[]; bad: number }> {
    try {
      return await this.ofRun(runId);
    } catch {
      // a name that is no run id, or a file that may not be read
      return { letters: [], bad: 1 };
    }
  }

  async #append(runId: string, line: object): Promise<void> {
    const { folder } = runPaths(this.#crewRoot, runId);
    const path = this.#path(runId);
    try {
      const facts = await this.#files.facts(folder);
      if (facts?.kind !== "directory") throw new Error(`${folder} is ${facts ? `a ${facts.kind}` : "gone"}`);
      const handle = this.#files.openLines(path);
      try {
        handle.write(sealedLine(line));
        await handle.sync();
      } finally {
        handle.close();
      }
    } catch (error) {
      throw new UserError("dead-letter", `${path} can't be written: ${messageOf(error)}.`, { cause: error });
    }
  }

  /** One after another: between looking and appending nothing of this process comes. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#queue.then(work, work);
    this.#queue = done.catch(() => undefined);
    return done;
  }

  #path(runId: string): string {
    return join(runPaths(this.#crewRoot, runId).folder, "deadletter.jsonl");
  }

  #now(): string {
    return new Date(this.#clock.now()).toISOString();
  }
}

/** The same for the same task and reason, whoever asks: so a second entry of it is known as one. */
export function deadLetterId(runId: string, taskId: string, reason: DeadLetterReason): string {
  return `dl-${createHash("sha256").update(`${runId}\n${taskId}\n${reason}`).digest("hex").slice(0, 12)}`;
}
