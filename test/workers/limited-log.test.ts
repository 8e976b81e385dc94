import { describe, expect, it } from "vitest";
import { limitedEventLog, limitedTextLog } from "../../src/workers/limited-log.ts";
import { LogTail } from "../../src/workers/log-tail.ts";

function sink() {
  const texts: string[] = [];
  return {
    texts,
    write: (data: string | Uint8Array) => void texts.push(Buffer.from(data).toString()),
    sync: async () => undefined,
    close: () => undefined,
  };
}

/** A tail whose segments are kept in memory, by number. */
function tailOf(segmentBytesMax: number, canOpen = () => true) {
  const segments = new Map<number, string[]>();
  const open = (number: number) => {
    if (!canOpen()) return null;
    const handle = sink();
    segments.set(number, handle.texts);
    return handle;
  };
  return { segments, tail: new LogTail(open, (number) => void segments.delete(number), segmentBytesMax) };
}

describe("a log with a limit", () => {
  it("says once that it was cut, counts on, and keeps what follows in its tail", () => {
    const handle = sink();
    const { segments, tail } = tailOf(100);
    const log = limitedTextLog(handle, tail, 10);
    for (const text of ["12345", "67890", "x", "y"]) log.write(text);
    expect(handle.texts).toEqual(["12345", "67890", expect.stringMatching(/^\n\[cut at 10 bytes; the newest .*\]\n$/)]);
    expect(log.chunks).toBe(4);
    expect(segments.get(1)).toEqual(["x", "y"]);
  });

  it("cuts bytes at its limit, and what does not fit is not lost", () => {
    const handle = sink();
    const { segments, tail } = tailOf(100);
    const log = limitedTextLog(handle, tail, 10);
    for (const text of ["123456", "7890abc", "def"]) log.writeBytes(Buffer.from(text));
    expect(handle.texts[0]).toBe("123456");
    expect(handle.texts[1]).toBe("7890");
    expect([...segments.values()].flat().join("")).toBe("abcdef");
  });

  it("keeps what its reader sums up and shows beyond the limit, and the words in its tail", () => {
    const handle = sink();
    const { segments, tail } = tailOf(1000);
    const log = limitedEventLog(handle, tail, 1);
    const message = { role: "assistant", usage: { input: 5 }, content: [{ type: "text", text: "long" }] };
    const lines = [
      { type: "tool_execution_end", toolCallId: "1", toolName: "bash", isError: false },
      { type: "tool_execution_end", toolCallId: "x".repeat(2000) },
      { type: "auto_retry_start", attempt: 1 },
      { type: "message_end", message: { role: "user", content: "words" } },
      { type: "message_end", message },
    ].map((event) => `${JSON.stringify(event)}\n`);
    for (const line of lines) log.write(line);
    expect(handle.texts.join("")).toBe(
      [
        '{"type":"log_cut","bytesMax":1}\n',
        lines[0],
        lines[2],
        `${JSON.stringify({ type: "message_end", message: { ...message, content: [] } })}\n`,
      ].join(""),
    );
    expect([...segments.values()].flat()).toEqual(lines);
  });

  it("keeps the newest two segments of its tail, whole lines each, however much comes", () => {
    const { segments, tail } = tailOf(30);
    const log = limitedTextLog(sink(), tail, 0);
    for (let line = 0; line < 100; line++) log.write(`line ${line}\n`);
    const kept = [...segments.values()].map((texts) => texts.join(""));
    expect(segments.size).toBe(2);
    expect(kept.join("")).toMatch(/^line \d+\n(line \d+\n)*line 99\n$/);
    for (const text of kept) expect(text.length).toBeLessThan(30 + "line 99\n".length);
  });

  it("goes on in the segment it has while no other can be opened", () => {
    let canOpen = false;
    const { segments, tail } = tailOf(5, () => canOpen);
    const log = limitedTextLog(sink(), tail, 0);
    log.write("nobody keeps this\n");
    expect(segments.size).toBe(0);
    canOpen = true;
    log.write("first\n");
    canOpen = false;
    log.write("second\n");
    expect(segments.get(1)).toEqual(["first\n", "second\n"]);
  });
});
