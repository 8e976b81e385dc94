const lineBytesMax = 32 * 1024 * 1024;
const lineFeed = 10;

/** Whole lines out of pieces of bytes: a character may lie across two of them, and only a line feed ends a line. */
export class LineSplitter {
  #partial: Uint8Array[] = [];
  #bytes = 0;

  /** Lines that ended within this piece; one that is too long is left out. */
  push(piece: Uint8Array): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = piece.indexOf(lineFeed); end >= 0; end = piece.indexOf(lineFeed, start)) {
      this.#partial.push(piece.subarray(start, end));
      if (this.#bytes + end - start <= lineBytesMax) lines.push(Buffer.concat(this.#partial).toString("utf8"));
      this.#partial = [];
      this.#bytes = 0;
      start = end + 1;
    }
    const rest = piece.byteLength - start;
    this.#bytes += rest;
    if (this.#bytes > lineBytesMax) this.#partial = [];
    else if (rest > 0) this.#partial.push(piece.slice(start));
    return lines;
  }
}

/** The last line of a piece that holds anything; cut at `bytesMax`. Of a program's output more would be too many. */
export function lastLineOf(piece: Uint8Array, bytesMax: number): string {
  const end = piece.subarray(-bytesMax);
  const lines = Buffer.from(end).toString("utf8").split("\n");
  return lines.findLast((line) => line.trim() !== "")?.trim() ?? "";
}
