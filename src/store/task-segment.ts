import { codeOf, systemFailure } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { ReadAhead } from "./read-ahead.ts";
import { type ColumnsHead, decodeHead, TaskColumns } from "./task-columns.ts";
import {
  type IndexedDay,
  isReadFrom,
  placeOf,
  readDay,
  readIndex,
  readIndexHead,
  tailAt,
  unlessThere,
} from "./task-index.ts";
import { TaskScan } from "./task-scan.ts";

const DAY_MS = 86_400_000;
const CHUNK_BYTES = 1024 * 1024;
/** So much may be read anew at each start. */
const UNSEALED_BYTES_MAX = 256 * 1024;
const DAMAGED = "EBADMSG";

interface Loaded {
  columns: TaskColumns;
  scan: TaskScan;
}

/**
 * One file of records, `<folder>/<name>.jsonl`, read once and then only what is new; and its index `<name>.agg`, which
 * holds the same as columns and may be removed at any time. `<name>.kept` has the shape of an index too, and is all there
 * is of records whose file was retired; what such a file holds beside it was added later.
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
  /** What the index tells of its rows together, which are the first ones; null without an index. */
  summary: ColumnsHead | null = null;
  readonly #files: Files;
  readonly #path: string;
  #loaded: Loaded | null = null;
  #seen: { bytes: number; inode: number } | null = null;
  #isKept = false;
  #readBytes = 0;
  #sealedBytes = 0;

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
      const seen = placeOf(facts);
      if (seen.bytes === this.#seen?.bytes && seen.inode === this.#seen.inode) return await this.#tryAgain();
      if (this.#seen && (seen.inode !== this.#seen.inode || seen.bytes < this.#readBytes)) this.#forget();
      if (!this.#seen) await this.#readHead();
      this.failure = "";
      if (seen.bytes > this.#readBytes) await this.#columns().then(() => this.#readOn(seen.bytes));
      this.#seen = seen;
      // retired meanwhile, perhaps before all of it was read
      if (placeOf(this.#files.factsNow(this.path)).inode !== seen.inode) await this.refresh();
    } catch (error) {
      this.#failed(error);
      // half of a first look would be counted twice
      if (!this.#seen && this.rows > 0) this.#forget();
    }
  }

  /** What was read so far; null when it was given back and can't be read now. */
  async columns(): Promise<TaskColumns | null> {
    const [bytes, known] = [this.#readBytes, this.rows];
    try {
      return await this.#columns();
    } catch (error) {
      this.#failed(error);
      [this.#loaded, this.#readBytes, this.rows] = [null, bytes, known];
      return null;
    }
  }

  /** The rows that `summary` tells of, by the hour; null when they can't be read so, and `columns` have to do. */
  async day(): Promise<IndexedDay | null> {
    return this.summary && readDay(this.#files, this.#indexPath, this.summary);
  }

  #failed(error: unknown): void {
    if (codeOf(error) === "") throw error;
    this.failure = codeOf(error);
  }

  /** A file that could not be read may be readable by now, without having changed. */
  async #tryAgain(): Promise<void> {
    if (this.failure === "" || this.failure === DAMAGED) return;
    await this.#files.readRange(this.#isKept ? this.#keptPath : this.path, 0, 1);
    this.failure = "";
  }

  async #columns(): Promise<TaskColumns> {
    if (this.#loaded) return this.#loaded.columns;
    const [bytes, known] = [this.#readBytes, this.rows];
    const kept = await this.#readIndex();
    if (!kept && this.#isKept) this.failure = DAMAGED;
    if (!kept) this.summary = null;
    const columns = kept?.columns ?? new TaskColumns();
    this.#readBytes = kept?.readBytes ?? 0;
    this.#sealedBytes = this.#readBytes;
    const scan = new TaskScan(columns, this.dayStart);
    scan.badLines = kept?.origin.badLines ?? 0;
    this.#loaded = { columns, scan };
    this.rows = columns.rows;
    this.badLines = scan.badLines;
    // released before
    if (bytes > this.#readBytes) await this.#readOn(bytes);
    if (this.rows >= known || this.#isKept || this.#files.factsNow(this.#keptPath) === null) return columns;
    // retired between two looks
    this.#isKept = true;
    this.#loaded = null;
    return this.#columns();
  }

  /** Keeps the index when reading the file again would cost more than a little; of a closed day once, up to its end. */
  async seal(closed: boolean): Promise<void> {
    const [bytes, unsealed] = [this.#readBytes, this.#readBytes - this.#sealedBytes];
    const least = closed && this.#readBytes >= UNSEALED_BYTES_MAX ? 1 : UNSEALED_BYTES_MAX;
    if (!this.#loaded || this.#loaded.scan.isWithinLine || this.#isKept || unsealed < least) return;
    const index = await this.#encode(this.#loaded.columns);
    await this.#files.replace(`${this.#path}.agg`, index);
    this.#sealedBytes = bytes;
    this.summary = decodeHead(index);
  }

  async #encode(columns: TaskColumns): Promise<Uint8Array> {
    const [bytes, { badLines, dayStart }] = [this.#readBytes, this];
    return columns.encode({ bytes, badLines, tail: await tailAt(this.#files, this.path, bytes) }, dayStart);
  }

  /** Gives the memory back; `columns` reads the index again. */
  release(): void {
    const isCheap = this.#readBytes - this.#sealedBytes < UNSEALED_BYTES_MAX;
    if (isCheap && !this.#loaded?.scan.isWithinLine) this.#loaded = null;
  }

  /**
   * Removes the file of records once all of it is kept otherwise. What is kept is written once, by whoever comes first,
   * and read again before the file goes: killed at any moment, or done twice at once, this loses and doubles nothing.
   */
  async retire(): Promise<boolean> {
    await this.refresh();
    const columns = await this.columns();
    if (columns === null || this.failure !== "" || this.#files.factsNow(this.path) === null || this.#readBytes === 0)
      return false;
    if (!this.#isKept) await this.#files.writeNew(this.#keptPath, await this.#encode(columns)).catch(unlessThere);
    const kept = await readIndex(this.#files, this.#keptPath);
    // later lines than what is kept stay where they are
    if (!kept || kept.origin.bytes !== this.#readBytes || !(await isReadFrom(this.#files, this.path, kept.origin)))
      return false;
    await this.#files.remove(this.path);
    await this.#files.remove(`${this.#path}.agg`);
    await this.refresh();
    return true;
  }

  #forget(): void {
    this.generation++;
    this.summary = null;
    this.#loaded = null;
    this.#seen = null;
    this.#readBytes = 0;
    this.#sealedBytes = 0;
    this.rows = 0;
    this.badLines = 0;
  }

  async #readOn(until: number): Promise<void> {
    const { scan, columns } = this.#loaded as Loaded;
    const pieceBytes = Math.min(CHUNK_BYTES, until - this.#readBytes);
    const pieces = new ReadAhead(this.#files, this.path, { until, pieceBytes });
    while (this.#readBytes < until) {
      const lines = await pieces.piece(this.#readBytes);
      if (lines === null || lines.length === 0) break;
      const whole = lines.lastIndexOf(0x0a) + 1;
      if (whole > 0) pieces.prepare(this.#readBytes + whole);
      const read = scan.piece(lines, lines.length === CHUNK_BYTES);
      if (read === 0) break;
      this.#readBytes += read;
      // as many again for each byte as there were so far
      columns.reserve(Math.ceil((columns.rows / this.#readBytes) * until * 1.05));
    }
    this.rows = columns.rows;
    this.badLines = scan.badLines;
  }

  get #indexPath(): string {
    return this.#isKept ? this.#keptPath : `${this.#path}.agg`;
  }

  get #keptPath(): string {
    return `${this.#path}.kept`;
  }

  /** Takes over what the index says of its rows, without reading them. */
  async #readHead(): Promise<void> {
    this.#isKept = this.#files.factsNow(this.#keptPath) !== null;
    const path = this.#indexPath;
    const head = await readIndexHead(this.#files, path).catch(this.#unlessKept);
    const isOf = head !== null && (await isReadFrom(this.#files, this.path, head));
    if (this.#isKept && head === null) throw systemFailure(DAMAGED, `${path} is damaged`);
    if (head === null || (!isOf && !this.#isKept)) return;
    this.#readBytes = isOf ? head.bytes : 0;
    this.#sealedBytes = this.#readBytes;
    this.rows = head.rows;
    this.badLines = head.badLines;
    this.summary = head;
  }

  async #readIndex() {
    const kept = await readIndex(this.#files, this.#indexPath).catch(this.#unlessKept);
    const isOf = kept !== null && (await isReadFrom(this.#files, this.path, kept.origin));
    return kept && (isOf || this.#isKept) ? { ...kept, readBytes: isOf ? kept.origin.bytes : 0 } : null;
  }

  /** An index that can't be read is done without, unless it is all there is. */
  #unlessKept = (error: unknown): null => {
    if (this.#isKept) throw error;
    return null;
  };
}
