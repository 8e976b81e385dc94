import type { TokenCounts } from "../events/crew-event.ts";
import { codeOf } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { Liveness, ProcessIdentity, World } from "../system/world.ts";
import { attemptPaths, makeAttemptFolder, parseAttemptState, readAttemptState } from "./attempt-folder.ts";
import { foldLines } from "./line-reader.ts";
import type { AttemptState } from "./step-contract.ts";

/** What an attempt's folder tells somebody who was not there. */

const LOG_BYTES_MAX = 64 * 1024 * 1024;
/** Ours have some 200 bytes; a state of more is of an attempt that has ended. */
const SMALL_FILE_BYTES_MAX = 1024;

export interface AttemptFacts {
  /** By host, boot, pid namespace, pid and start time; `unknown` too where the folder names no process. */
  process: Liveness;
  /** Its end is written. */
  ended: boolean;
  /** Null when there is none, or when it can't be understood. */
  heartbeat: { workerId: string; lastSeenAt: string; alive: boolean; counter?: number } | null;
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

/** When the attempt's worker was last heard of, wall clock, milliseconds; null when it never was. */
export async function readLastSign({ files }: Pick<World, "files">, folder: string): Promise<number | null> {
  const heartbeat = parseHeartbeat(await files.readText(attemptPaths(folder).heartbeat));
  return heartbeat && wallMsOf(heartbeat.lastSeenAt);
}

/** How often the attempt's worker has shown life; null where its heartbeat can't tell. At once. */
export function readBeats({ files }: Pick<World, "files">, folder: string): number | null {
  try {
    const bytes = files.readNow(attemptPaths(folder).heartbeat, 0, SMALL_FILE_BYTES_MAX);
    const counter = parseObject(bytes && Buffer.from(bytes).toString())?.["counter"];
    return typeof counter === "number" && counter > 0 ? counter : null;
  } catch {
    return null;
  }
}

/** Milliseconds of an ISO 8601 time in a record; null where it is none. */
export function wallMsOf(iso: string): number | null {
  const at = Date.parse(iso);
  return Number.isNaN(at) ? null : at;
}

/** What was used by a worker that can't tell any more, from the lines it left. */
export async function readRemains(
  { files }: Pick<World, "files">,
  folder: string,
  kind: string,
): Promise<{ tokens: TokenCounts; costUsd: number; model: string | null }> {
  const bytes = await files.readRange(attemptPaths(folder).stdout, 0, LOG_BYTES_MAX);
  const { tokens, costUsd, lastModel } = foldLines(kind, bytes === null ? "" : Buffer.from(bytes).toString());
  return { tokens, costUsd, model: lastModel };
}

/**
 * Makes an attempt that nobody may begin any more: a wrapper that was handed it just before its owner died finds the
 * place taken. True when nobody had begun it.
 */
export async function closeAttempt({ files }: Pick<World, "files">, folder: string): Promise<boolean> {
  await makeAttemptFolder(files, folder);
  const closed: Pick<AttemptState, "status"> & { closed: true } = { status: "ended", closed: true };
  try {
    await files.writeNew(attemptPaths(folder).state, `${JSON.stringify(closed)}\n`);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

function parseHeartbeat(text: string | null): AttemptFacts["heartbeat"] {
  const value = parseObject(text) as AttemptFacts["heartbeat"];
  return typeof value?.workerId === "string" && typeof value.lastSeenAt === "string" ? value : null;
}

/** Nobody is judged by his process before the third look without a sign of life. */
const LOOKS_WITHOUT_PROOF = 2;

/** What a look at a live attempt found. */
export interface SignOfLife {
  /** Another one with each heartbeat; null where there is none. */
  sign: string | null;
  /** Its last heartbeat says that the worker took its leave. */
  left: boolean;
  /** `unknown` too while nobody has asked. */
  processAlive: Liveness;
}

/**
 * Looks at a live attempt again and again, at once. Each heartbeat is a new file, which its place shows without being
 * read: one `lstat` at nearly every look. It is read once in a silence, and the process is asked for only from the second
 * look in a row that found no new sign of life.
 */
export class HeartbeatReader {
  readonly #world: Pick<World, "files" | "processes">;
  readonly #paths: { heartbeat: string; state: string };
  #sign: string | null = null;
  #silentLooks = 0;
  #left = false;
  #identity: ProcessIdentity | null = null;

  constructor(world: Pick<World, "files" | "processes">, folder: string) {
    this.#world = world;
    this.#paths = attemptPaths(folder);
  }

  read(): SignOfLife {
    const facts = this.#world.files.factsNow(this.#paths.heartbeat);
    // a link, a folder or a pipe is nobody's heartbeat
    const sign = facts?.kind === "file" ? `${facts.inode} ${facts.modifiedMs}` : null;
    if (sign !== null && sign !== this.#sign) {
      this.#sign = sign;
      this.#silentLooks = 0;
      return { sign, left: false, processAlive: "unknown" };
    }
    this.#silentLooks++;
    if (this.#silentLooks === 1) this.#left = sign !== null && this.#readLeave();
    const processAlive = this.#silentLooks < LOOKS_WITHOUT_PROOF ? "unknown" : this.#processAlive();
    return { sign, left: this.#left, processAlive };
  }

  #readLeave(): boolean {
    return parseHeartbeat(this.#readSmall(this.#paths.heartbeat))?.alive === false;
  }

  #processAlive(): Liveness {
    if (this.#identity === null) {
      const state = parseAttemptState(this.#readSmall(this.#paths.state));
      if (state?.status === "running") this.#identity = state;
    }
    return this.#identity === null ? "unknown" : this.#world.processes.alive(this.#identity);
  }

  /** Null for what is no file of ours, too: a folder, a link, a pipe. */
  #readSmall(path: string): string | null {
    try {
      const bytes = this.#world.files.readNow(path, 0, SMALL_FILE_BYTES_MAX);
      return bytes && Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString();
    } catch (error) {
      if (["EISDIR", "ELOOP", "ESPIPE", "ENXIO"].includes(codeOf(error))) return null;
      throw error;
    }
  }
}
