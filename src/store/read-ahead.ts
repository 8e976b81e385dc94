import type { Files } from "../system/world.ts";

/**
 * A file in pieces; the next one may be read while one is worked on. Two places in memory hold them by turns: a piece is
 * there until the next but one is asked for. That saves the system the clearing of new memory for each.
 */
export class ReadAhead {
  readonly #files: Files;
  readonly #path: string;
  readonly #until: number;
  readonly #pieceBytes: number;
  readonly #rooms: [Uint8Array, Uint8Array];
  #ahead: { at: number; piece: Promise<Uint8Array | null> } | null = null;

  constructor(files: Files, path: string, { until, pieceBytes }: { until: number; pieceBytes: number }) {
    this.#files = files;
    this.#path = path;
    this.#until = until;
    this.#pieceBytes = pieceBytes;
    this.#rooms = [Buffer.allocUnsafe(pieceBytes), Buffer.allocUnsafe(pieceBytes)];
  }

  /** The bytes from `at` on, as many as a piece has and not beyond `until`. Null when there is no file. */
  async piece(at: number): Promise<Buffer | null> {
    const ahead = this.#ahead;
    this.#ahead = null;
    // one that nobody wants still fills its place
    if (ahead?.at !== at) await ahead?.piece.catch(() => undefined);
    const piece = await (ahead?.at === at ? ahead.piece : this.#read(at));
    return piece && Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
  }

  /** Begins to read what is asked for next. */
  prepare(at: number): void {
    if (at >= this.#until) return;
    const piece = this.#read(at);
    piece.catch(() => undefined);
    this.#ahead = { at, piece };
  }

  #read(at: number): Promise<Uint8Array | null> {
    this.#rooms.reverse();
    return this.#files.readRange(this.#path, at, Math.min(this.#pieceBytes, this.#until - at), this.#rooms[0]);
  }
}
