import type { TokenCounts } from "../events/crew-event.ts";
import type { ProcessIdentity, World } from "../system/world.ts";
import { attemptPaths, readAttemptState } from "./attempt-folder.ts";
import { foldPiLines } from "./pi-events.ts";
import type { AttemptState } from "./step-contract.ts";

/** What an attempt's folder tells somebody who was not there. */

const LOG_BYTES_MAX = 64 * 1024 * 1024;

export interface AttemptFacts {
  /** By host, boot, pid namespace, pid and start time; `unknown` too where the folder names no process. */
  process: "alive" | "dead" | "unknown";
  /** Its end is written. */
  ended: boolean;
  /** Null when there is none, or when it can't be understood. */
  heartbeat: { workerId: string; lastSeenAt: string; alive: boolean } | null;
}

export async function readAttemptFacts(
  { files, processes }: Pick<World, "files" | "processes">,
  folder: string,
): Promise<AttemptFacts> {
  const state = await readAttemptState(files, folder);
  return {
    process: state?.status === "running" ? processes.alive(state) : "unknown",
    ended: state?.status === "ended",
    heartbeat: parseHeartbeat(await files.readText(attemptPaths(folder).heartbeat)),
  };
}

/** What was used by a worker that can't tell any more, from the lines it left. */
export async function readRemains(
  { files }: Pick<World, "files">,
  folder: string,
): Promise<{ tokens: TokenCounts; costUsd: number; model: string | null }> {
  const bytes = await files.readRange(attemptPaths(folder).stdout, 0, LOG_BYTES_MAX);
  const { tokens, costUsd, lastModel } = foldPiLines(bytes === null ? "" : Buffer.from(bytes).toString());
  return { tokens, costUsd, model: lastModel };
}

/**
 * Makes an attempt that nobody may begin any more: a wrapper that was handed it just before its owner died finds the
 * place taken. True when nobody had begun it.
 */
export async function closeAttempt({ files }: Pick<World, "files">, folder: string): Promise<boolean> {
  await files.makeFolder(folder);
  const closed: Pick<AttemptState, "status"> & { closed: true } = { status: "ended", closed: true };
  try {
    await files.writeNew(attemptPaths(folder).state, `${JSON.stringify(closed)}\n`);
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code === "EEXIST") return false;
    throw error;
  }
}

function parseHeartbeat(text: string | null): AttemptFacts["heartbeat"] {
  try {
    const value = text === null ? null : (JSON.parse(text) as AttemptFacts["heartbeat"]);
    return typeof value?.workerId === "string" && typeof value.lastSeenAt === "string" ? value : null;
  } catch {
    return null;
  }
}

/** Looks at a live attempt again and again, and reads its heartbeat only when the file has changed. */
export class HeartbeatReader {
  readonly #world: Pick<World, "files" | "processes">;
  readonly #folder: string;
  #seen = "";
  #identity: ProcessIdentity | null = null;

  constructor(world: Pick<World, "files" | "processes">, folder: string) {
    this.#world = world;
    this.#folder = folder;
  }

  async read(): Promise<{ heartbeat: AttemptFacts["heartbeat"] | "unchanged"; processAlive: AttemptFacts["process"] }> {
    const { files, processes } = this.#world;
    const path = attemptPaths(this.#folder).heartbeat;
    const facts = await files.facts(path);
    const seen = facts === null ? "" : `${facts.inode}:${facts.bytes}:${facts.modifiedMs}`;
    const changed = seen === "" || seen !== this.#seen;
    this.#seen = seen;
    if (this.#identity === null) {
      const state = await readAttemptState(files, this.#folder);
      if (state?.status === "running") this.#identity = state;
    }
    return {
      heartbeat: changed ? parseHeartbeat(await files.readText(path)) : "unchanged",
      processAlive: this.#identity === null ? "unknown" : processes.alive(this.#identity),
    };
  }
}
