import { join } from "node:path";
import { codeOf, messageOf, UserError } from "../system/errors.ts";
import type { Clock, FileFacts, Files, Log, World } from "../system/world.ts";
import { type InboxRequest, type PostedRequest, parseRequest, REQUEST_BYTES_MAX } from "./inbox-request.ts";

/**
 * Requests of other processes to a run's owner, one file each in `<run>/inbox/` (rule W1). Asking is all that others
 * may do with a run; the owner turns a request into events and then deletes its file.
 */

const POLL_MS = 500;
const TRIES_MAX = 5;
const FILES_PER_PASS_MAX = 256;
const REJECTED_KEPT_MAX = 100;
const HANDLED_IDS_MAX = 1000;
const COMPLAINTS_MAX = 100;
const REJECTED = "rejected";
const SUFFIX = ".json";
/** Milliseconds first, so that names sort in the order of asking. */
const STAMP_DIGITS = 15;

/**
 * Puts a request where the owner of the run finds it, and resolves with its id when it is on disk. Requests that were
 * posted one after another are taken in that order, also when the clock goes back. Throws a UserError when the run's
 * folder is gone or the request too big.
 */
export async function postRequest(
  world: Pick<World, "clock" | "random" | "files" | "processes">,
  runFolder: string,
  request: InboxRequest,
  sessionId: string,
): Promise<string> {
  const { clock, random, files, processes } = world;
  const folder = join(runFolder, "inbox");
  const at = clock.now();
  await requireFolder(files, runFolder);
  await files.makeFolder(folder);
  await requireFolder(files, folder);
  const stamp = Math.max(at, newestStamp(await files.list(folder)) + 1);
  const id = `${String(stamp).padStart(STAMP_DIGITS, "0")}-${random.hex(6)}`;
  const posted: PostedRequest = { ...request, id, at, from: { pid: processes.self().pid, sessionId } };
  const text = `${JSON.stringify({ v: 1, ...posted })}\n`;
  if (Buffer.byteLength(text) > REQUEST_BYTES_MAX)
    throw new UserError(
      "request-too-big",
      `The request has more than ${REQUEST_BYTES_MAX / 1024} kB; shorten it, or put it in a file and name the file.`,
    );
  await files.writeNew(join(folder, id + SUFFIX), text).catch(async (error: unknown) => {
    // whoever ended the run just now has swept away what was half written
    if (codeOf(error) !== "ENOENT") throw error;
    await files.writeNew(join(folder, id + SUFFIX), text);
  });
  return id;
}

async function requireFolder(files: Files, path: string): Promise<void> {
  const facts = await files.facts(path);
  if (facts?.kind === "directory") return;
  throw new UserError(
    "no-inbox",
    `The run can't be asked: ${path} is ${facts ? `a ${facts.kind}, not a folder` : "gone"}. /team-status lists the runs.`,
  );
}

function newestStamp(names: readonly string[]): number {
  const stamps = names.filter((name) => /^\d{15}-[0-9a-f]+\.json$/.test(name)).map((name) => Number.parseInt(name, 10));
  return stamps.reduce((newest, stamp) => Math.max(newest, stamp), 0);
}

/** Takes a request back that no owner has taken. */
export function withdrawRequest(files: Files, runFolder: string, id: string): Promise<void> {
  return files.remove(join(runFolder, "inbox", id + SUFFIX));
}

/** Why somebody asked the run to end, in a request that no owner has taken yet; null when nobody can be seen to. */
export async function cancelWaiting(files: Files, runFolder: string): Promise<string | null> {
  const folder = join(runFolder, "inbox");
  const names = await files.list(folder).catch(() => []);
  for (const name of names.filter((it) => it.endsWith(SUFFIX) && !it.startsWith(".")).slice(0, FILES_PER_PASS_MAX)) {
    const path = join(folder, name);
    if (files.factsNow(path)?.kind !== "file") continue;
    const text = await files.readText(path, REQUEST_BYTES_MAX).catch(() => null);
    const request = parseRequest(text ?? "", name.slice(0, -SUFFIX.length));
    if (request?.kind === "cancel") return request.reason;
  }
  return null;
}

export interface InboxParts {
  files: Files;
  clock: Clock;
  log: Log;
  runFolder: string;
  /**
   * Resolves when the request's effect is on disk, not when the effect is over: `close` waits for it. A rejection is
   * tried again each 500 ms, five times at most; those behind it wait.
   */
  handle(request: PostedRequest): Promise<void>;
  /**
   * Ids whose effect is on disk already, as folded from the run's events: a former owner may have died between
   * handling a request and deleting its file. Their files are deleted without a call of `handle`.
   */
  handledIds?: Iterable<string>;
}

/** The owner's end. Whoever loses or releases the run closes it: two owners must not take the same request. */
export class Inbox {
  readonly #parts: InboxParts;
  readonly #folder: string;
  /** In the order of handling; the oldest are forgotten first. */
  readonly #handled: Set<string>;
  #sources: Disposable[] = [];
  #running: Promise<void> | null = null;
  #again = false;
  #closed = false;
  readonly #said = new Set<string>();
  #failing: { name: string; tries: number; nextTryMs: number } | null = null;

  constructor(parts: InboxParts) {
    this.#parts = parts;
    this.#folder = join(parts.runFolder, "inbox");
    this.#handled = new Set(parts.handledIds);
  }

  /** Takes what is there, and then whatever comes, until it is closed. */
  start(): this {
    const { files, clock } = this.#parts;
    const look = () => void this.take();
    this.#sources = [clock.every(POLL_MS, look), files.watch(this.#folder, look)];
    look();
    return this;
  }

  /** Looks into the folder now; who asks while that goes on gets one more look. Never rejects. */
  take(): Promise<void> {
    if (this.#closed) return this.#running ?? Promise.resolve();
    this.#again = true;
    this.#running ??= this.#passes();
    return this.#running;
  }

  /** Takes nothing more; resolves when the handler under way has ended. Idempotent. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const source of this.#sources.splice(0)) source[Symbol.dispose]();
    await this.#running;
  }

  async #passes(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false;
      await this.#pass().catch((error: unknown) => this.#complain("a run's inbox can't be read", error));
    }
    this.#running = null;
  }

  async #pass(): Promise<void> {
    const { files } = this.#parts;
    const facts = await files.facts(this.#folder);
    if (facts === null) return;
    if (facts.kind !== "directory") throw new Error(`${this.#folder} is a ${facts.kind}, not a folder`);
    // what begins with a dot is still being written
    const names = (await files.list(this.#folder)).filter((name) => name !== REJECTED && !name.startsWith("."));
    for (const name of names.slice(0, FILES_PER_PASS_MAX)) {
      if (this.#closed) return;
      const goOn = await this.#takeOne(name).catch((error: unknown) => {
        this.#complain(`a file in a run's inbox can't be read or deleted: ${name}`, error);
        return true;
      });
      if (!goOn) return;
    }
  }

  /** False when those behind it have to wait. */
  async #takeOne(name: string): Promise<boolean> {
    const { files, clock, handle } = this.#parts;
    const path = join(this.#folder, name);
    const id = name.endsWith(SUFFIX) ? name.slice(0, -SUFFIX.length) : "";
    const facts = await files.facts(path);
    if (facts === null || facts.kind === "directory") return true;
    if (this.#handled.has(id)) {
      await files.remove(path);
      return true;
    }
    const request = await this.#read(path, id, facts);
    if (typeof request === "string") return this.#reject(name, facts, request);
    if (this.#failing?.name === name && clock.monotonicMs() < this.#failing.nextTryMs) return false;
    try {
      await handle(request);
    } catch (error) {
      return this.#failed(name, facts, error);
    }
    this.#remember(id);
    await files.remove(path);
    return true;
  }

  /** The request, or why it is none. */
  async #read(path: string, id: string, facts: FileFacts): Promise<PostedRequest | string> {
    if (facts.kind !== "file") return `it is a ${facts.kind}`;
    if (facts.bytes > REQUEST_BYTES_MAX) return `it has ${facts.bytes} bytes`;
    const bytes = await this.#parts.files.readRange(path, 0, REQUEST_BYTES_MAX);
    return parseRequest(Buffer.from(bytes ?? []).toString(), id) ?? "it is no request this version knows";
  }

  async #failed(name: string, facts: FileFacts, error: unknown): Promise<boolean> {
    const tries = this.#failing?.name === name ? this.#failing.tries + 1 : 1;
    this.#complain(`a request in a run's inbox failed: ${name}`, error);
    if (tries >= TRIES_MAX) return this.#reject(name, facts, `its handler failed ${tries} times`);
    this.#failing = { name, tries, nextTryMs: this.#parts.clock.monotonicMs() + POLL_MS };
    return false;
  }

  /** Only what a file holds is moved; a link goes without being followed. */
  async #reject(name: string, facts: FileFacts, why: string): Promise<boolean> {
    const { files, log } = this.#parts;
    const path = join(this.#folder, name);
    this.#failing = null;
    log.warn("a file in a run's inbox was rejected", { path, why });
    const folder = join(this.#folder, REJECTED);
    await files.makeFolder(folder).catch(() => undefined);
    const mayKeep = facts.kind === "file" && (await files.facts(folder))?.kind === "directory";
    if (mayKeep && (await files.list(folder)).length < REJECTED_KEPT_MAX)
      await files.writeAtomic(join(folder, name), (await files.readRange(path, 0, REQUEST_BYTES_MAX)) ?? "");
    await files.remove(path);
    return true;
  }

  #remember(id: string): void {
    this.#failing = null;
    this.#handled.add(id);
    for (const oldest of this.#handled) {
      if (this.#handled.size <= HANDLED_IDS_MAX) return;
      this.#handled.delete(oldest);
    }
  }

  /** Twice a second would fill the log: each complaint is said once. */
  #complain(what: string, error: unknown): void {
    const why = messageOf(error);
    if (this.#said.has(what + why) || this.#said.size >= COMPLAINTS_MAX) return;
    this.#said.add(what + why);
    this.#parts.log.warn(what, { error: why });
  }
}
