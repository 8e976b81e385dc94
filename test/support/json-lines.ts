import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";

/** Calls `line` for each LF-ended line: readline would also split on U+2028. Bytes of a character may come apart. */
export function readLines(stream: Readable, line: (text: string) => void): void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  stream.on("data", (chunk: Buffer) => {
    const text = decoder.write(chunk);
    if (!text.includes("\n")) {
      rest += text;
      return;
    }
    const parts = (rest + text).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) line(part);
  });
  stream.on("end", () => {
    if (rest) line(rest);
  });
}
