import { codeOf, systemFailure } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { TaskColumns } from "./task-columns.ts";
import { TaskScan } from "./task-scan.ts";

const DAY_MS = 86_400_000;
const CHUNK_BYTES = 1024 * 1024;
const TAIL_BYTES = 64;
/** So much may be read anew at each start. */
const UNSEALED_BYTES_MAX = 256 * 1024;
const INDEX_BYTES_MAX = 2 ** 31;
/** Size and inode of a file that is not there. */
const GONE = -1;

interface Loaded {
  columns: TaskColumns;
  scan: TaskScan;
}

/**
 * One file of records, `<folder>/<name>.jsonl`, read once and then only what is new; and its index `<name>.agg`, which
 * holds the same as columns. The index is a cache as long as the file is there; without it, all there is.
 */
export class TaskSegment {
  readonly name: string;
  /** Of a file with one day's records; null when they may be of any time. */
  readonly dayStart: number | null;
  /** Another number: what was read before is no longer what the file holds. */
  generation = 0;
  rows = 0;
  badLines = 0;
  /** When its owner last asked it to `refresh`. */
  lookedAt = Number.NEGATIVE_INFINITY;
  /** The system's code when the file could not be read. */
  failure = "";
  readonly #files: Files;
  readonly #path: string;
  #loaded: Loaded | null = null;
  #seen: { bytes: number; inode: number } | null = null;
  #readBytes = 0;
  #sealedBytes = 0;
  /** Within a line that is longer than a chunk. */
  #skipping = false;

  constructor(files: Files, folder: string, name: string, dayStart: number | null) {
    this.#files = files;
    this.#path = `${folder}/${name}`;
    this.name = name;
    this.dayStart = dayStart;
  }

  get path(): string {
    return `${this.#path}.jsonl`;
  }

  /** When the last record that may be in it ends. */
  get until(): number {
    return this.dayStart === null ? Number.POSITIVE_INFINITY : this.dayStart + DAY_MS;
  }

  /** Takes in what the file has new; one `lstat` when it has nothing. Never rejects for what the file is or holds. */
  async refresh(): Promise<void> {
    try {
      const facts = this.#files.factsNow(this.path);
      if (facts !== null && facts.kind !== "file") throw systemFailure("ENOTREG", `${this.path} is a ${facts.kind}`);
      const seen = { bytes: facts?.bytes ?? GONE, inode: facts?.inode ?? GONE };
      if (seen.bytes === this.#seen?.bytes && seen.inode === this.#seen.inode) return;
      if (this.#seen && (seen.inode !== this.#seen.inode || seen.bytes < this.#readBytes)) this.#forget();
      await this.columns();
      if (facts) await this.#readOn(facts.bytes);
      this.#seen = seen;
      this.failure = "";
    } catch (error) {
      if (codeOf(error) === "") throw error;
      this.failure = codeOf(error);
    }
  }

  /** What was read so far. */
  async columns(): Promise<TaskColumns> {
    if (this.#loaded) return this.#loaded.columns;
    const [bytes, bad] = [this.#readBytes, this.badLines];
    const kept = await this.#readIndex();
    const columns = kept?.columns ?? new TaskColumns();
    this.#readBytes = kept?.origin.bytes ?? 0;
    this.#sealedBytes = this.#readBytes;
    const scan = new TaskScan(columns, this.dayStart);
    scan.badLines = kept?.origin.badLines ?? 0;
    this.#loaded = { columns, scan };
    this.rows = columns.rows;
    this.badLines = scan.badLines;
    // released before: back to where it stood
    if (bytes > this.#readBytes) await this.#readOn(bytes);
    else if (bad > this.badLines) this.badLines = bad;
    return columns;
  }

  /** Keeps the index when reading the file again would cost more than a little. */
  async seal(always = false): Promise<boolean> {
    const unsealed = this.#readBytes - this.#sealedBytes;
    if (!this.#loaded || this.#readBytes === 0) return this.#sealedBytes > 0;
    if (unsealed === 0 || (!always && unsealed < UNSEALED_BYTES_MAX)) return unsealed === 0;
    const origin = { bytes: this.#readBytes, badLines: this.badLines, tail: await this.#tailAt(this.#readBytes) };
    await this.#files.writeAtomic(`${this.#path}.agg`, this.#loaded.columns.encode(origin));
    this.#sealedBytes = this.#readBytes;
    return true;
  }

  /** Gives the memory back; `columns` reads the index again. */
  release(): void {
    if (this.#loaded && this.#readBytes - this.#sealedBytes < UNSEALED_BYTES_MAX) this.#loaded = null;
  }

  /** Removes the file of records when the index holds all of it. */
  async retire(): Promise<boolean> {
    await this.refresh();
    await this.columns();
    const facts = this.#files.factsNow(this.path);
    if (facts === null || this.failure !== "" || !(await this.seal(true))) return false;
    const rest = facts.bytes - this.#readBytes;
    // what no line feed ends is no record
    if (rest > 0 && facts.bytes !== this.#seen?.bytes) return false;
    await this.#files.remove(this.path);
    this.#seen = { bytes: GONE, inode: GONE };
    return true;
  }

  #forget(): void {
    this.generation++;
    this.#loaded = null;
    this.#seen = null;
    this.#readBytes = 0;
    this.#sealedBytes = 0;
    this.rows = 0;
    this.badLines = 0;
  }

  async #readOn(until: number): Promise<void> {
    const { scan, columns } = this.#loaded as Loaded;
    while (this.#readBytes < until) {
      const bytes = Math.min(CHUNK_BYTES, until - this.#readBytes);
      const chunk = await this.#files.readRange(this.path, this.#readBytes, bytes);
      if (chunk === null || chunk.byteLength === 0) break;
      const read = this.#take(scan, Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      if (read === 0) break;
      this.#readBytes += read;
    }
    this.rows = columns.rows;
    this.badLines = scan.badLines;
  }

  #take(scan: TaskScan, chunk: Buffer): number {
    if (this.#skipping) {
      const end = chunk.indexOf(0x0a);
      if (end === -1) return chunk.length;
      this.#skipping = false;
      return end + 1;
    }
    const read = scan.lines(chunk);
    if (read > 0 || chunk.length < CHUNK_BYTES) return read;
    scan.badLines++;
    this.#skipping = true;
    return chunk.length;
  }

  async #readIndex() {
    const file = await this.#files.read(`${this.#path}.agg`, INDEX_BYTES_MAX).catch(() => null);
    const kept = file && TaskColumns.decode(file);
    if (!kept) return null;
    const facts = this.#files.factsNow(this.path);
    if (facts === null) return kept;
    const { bytes, tail } = kept.origin;
    return bytes <= facts.bytes && tail === (await this.#tailAt(bytes)) ? kept : null;
  }

  async #tailAt(bytes: number): Promise<string> {
    const from = Math.max(0, bytes - TAIL_BYTES);
    const tail = await this.#files.readRange(this.path, from, bytes - from);
    return Buffer.from(tail ?? []).toString("hex");
  }
}
