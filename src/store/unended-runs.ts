import type { RunOwner } from "../events/crew-event.ts";
import { decodeEventLine } from "../events/event-line.ts";
import { isTerminal } from "../runs/run-state.ts";
import type { Files } from "../system/world.ts";
import { runPaths } from "./layout.ts";
import { type RunHead, readHead } from "./run-snapshot.ts";

const TAIL_BYTES_MAX = 4096;
/** After these nobody drives the run. */
const LAST_WORDS: ReadonlySet<string> = new Set([
  "crew.run.released",
  "crew.run.completed",
  "crew.run.failed",
  "crew.run.cancelled",
]);

/**
 * Tells at once, and without folding, which runs need no look: for those that have ended, and those whose living owner
 * was the last to write. What can't be told from the head of `state.json` and the log's last line is left in.
 */
export class UnendedRuns {
  readonly #files: Pick<Files, "factsNow" | "readNow">;
  readonly #crewRoot: string;
  /** An end is final. */
  readonly #ended = new Set<string>();

  constructor(files: Pick<Files, "factsNow" | "readNow">, crewRoot: string) {
    this.#files = files;
    this.#crewRoot = crewRoot;
  }

  /** Asked once for each process. */
  of(ids: readonly string[], isAlive: (owner: RunOwner) => boolean): string[] {
    const known = new Map<string, boolean>();
    const asked = (owner: RunOwner) => {
      const { nonce: _nonce, ...process } = owner;
      const key = JSON.stringify(process);
      const alive = known.get(key) ?? isAlive(owner);
      known.set(key, alive);
      return alive;
    };
    return ids.filter((runId) => !this.#ended.has(runId) && !this.#isSettled(runId, asked));
  }

  #isSettled(runId: string, isAlive: (owner: RunOwner) => boolean): boolean {
    try {
      const paths = runPaths(this.#crewRoot, runId);
      const head = readHead(this.#files, paths.state, runId);
      const log = head && this.#files.factsNow(paths.events);
      // a snapshot of more than there is was taken of another log
      if (!head || log?.kind !== "file" || log.bytes < head.bytes) return false;
      if (!isTerminal(head.status)) return this.#isDriven(paths.events, log.bytes, head, isAlive);
      this.#ended.add(runId);
      return true;
    } catch {
      // planted or unreadable: reading the run says what is wrong
      return false;
    }
  }

  #isDriven(events: string, bytes: number, head: RunHead, isAlive: (owner: RunOwner) => boolean): boolean {
    if (head.owner === null || !isAlive(head.owner)) return false;
    if (bytes === head.bytes) return true;
    const from = Math.max(0, bytes - TAIL_BYTES_MAX);
    const tail = this.#files.readNow(events, from, bytes - from);
    const line = Buffer.from(tail ?? [])
      .toString()
      .trimEnd()
      .split("\n")
      .at(-1);
    const last = decodeEventLine(line ?? "");
    return last.kind === "event" && last.event.epoch === head.epoch && !LAST_WORDS.has(last.event.type);
  }
}
