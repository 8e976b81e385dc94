import type { TokenCounts } from "../events/crew-event.ts";
import { codeOf } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import type { Liveness, ProcessIdentity, World } from "../system/world.ts";
import { attemptPaths, makeAttemptFolder, parseAttemptState, readAttemptState } from "./attempt-folder.ts";
import { foldLines } from "./line-reader.ts";
import type { AttemptState } from "./step-contract.ts";

/** What an attempt's folder tells somebody who was not there. */

const LOG_BYTES_MAX = 64 * 1024 * 1024;

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

/** Ours have some 200 bytes; a state of more is of an attempt that has ended. */
const SMALL_FILE_BYTES_MAX = 1024;
/** Nobody is judged by his process before the third look without a sign of life. */
const LOOKS_WITHOUT_PROOF = 2;

/**
 * Looks at a live attempt again and again, at once: reads its heartbeat, which is new at nearly every look, and nothing
 * else of it; and asks for its process only from the second look in a row that found no new sign of life (`unknown`
 * until then).
 */
export class HeartbeatReader {
  readonly #world: Pick<World, "files" | "processes">;
  readonly #paths: { heartbeat: string; state: string };
  #seen: string | null = null;
  #sign: string | number | null = null;
  #silentLooks = 0;
  #identity: ProcessIdentity | null = null;

  constructor(world: Pick<World, "files" | "processes">, folder: string) {
    this.#world = world;
    this.#paths = attemptPaths(folder);
  }

  read(): { heartbeat: AttemptFacts["heartbeat"] | "unchanged"; processAlive: AttemptFacts["process"] } {
    const heartbeat = this.#readHeartbeat();
    const found = heartbeat === "unchanged" || heartbeat?.alive === false ? null : heartbeat;
    const sign = found === null ? this.#sign : (found.counter ?? found.lastSeenAt);
    this.#silentLooks = sign === this.#sign ? this.#silentLooks + 1 : 0;
    this.#sign = sign;
    return { heartbeat, processAlive: this.#silentLooks < LOOKS_WITHOUT_PROOF ? "unknown" : this.#processAlive() };
  }

  #readHeartbeat(): AttemptFacts["heartbeat"] | "unchanged" {
    const text = this.#readSmall(this.#paths.heartbeat);
    if (text !== null && text === this.#seen) return "unchanged";
    this.#seen = text;
    return parseHeartbeat(text);
  }

  #processAlive(): AttemptFacts["process"] {
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
