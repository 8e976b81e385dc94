import { describe, expect, it } from "vitest";
import { limitedEventLog, limitedTextLog } from "../../src/workers/limited-log.ts";

function sink() {
  const texts: string[] = [];
  return {
    texts,
    write: (data: string | Uint8Array) => void texts.push(String(data)),
    sync: async () => undefined,
    close: () => undefined,
  };
}

describe("a log with a limit", () => {
  it("says once that it was cut, and counts on", () => {
    const handle = sink();
    const log = limitedTextLog(handle, 10);
    for (const text of ["12345", "67890", "x", "y"]) log.write(text);
    expect(handle.texts).toEqual(["12345", "67890", "\n[cut at 10 bytes]\n"]);
    expect(log.chunks).toBe(4);
  });

  it("keeps usage beyond the limit", () => {
    const handle = sink();
    const log = limitedEventLog(handle, 1);
    const message = { role: "assistant", usage: { input: 5 }, content: [{ type: "text", text: "long" }] };
    log.write(`${JSON.stringify({ type: "tool_execution_end", result: "long" })}\n`);
    log.write(`${JSON.stringify({ type: "message_end", message })}\n`);
    expect(handle.texts).toEqual([
      '{"type":"log_cut","bytesMax":1}\n',
      `${JSON.stringify({ type: "message_end", message: { ...message, content: [] } })}\n`,
    ]);
  });
});
