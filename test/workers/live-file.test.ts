import { expect, it } from "vitest";
import { createRedactor } from "../../src/system/redaction.ts";
import { LiveFile } from "../../src/workers/live-file.ts";
import { type LivePart, parseLiveReply } from "../../src/workers/live-reply.ts";
import { PiLive } from "../../src/workers/pi-live.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const FOLDER = "/run/tasks/a/a0001";
const SECRET = "kT7pWq2nXv9LmR4s";

function bench() {
  const clock = new FakeClock();
  const files = new MemoryFiles();
  const warnings: string[] = [];
  const log = { warn: (text: string) => warnings.push(text), error: (text: string) => warnings.push(text) };
  const redactor = createRedactor({ secretValues: [SECRET, "correct horse battery"] });
  let writes = 0;
  const replace = files.replace.bind(files);
  files.replace = (path, text) => {
    writes++;
    return replace(path, text);
  };
  const live = new LiveFile({ clock, log, files }, FOLDER, redactor, () => 42);
  const read = async () => parseLiveReply((await files.readText(`${FOLDER}/live.json`)) ?? "");
  return { clock, live, read, warnings, writes: () => writes };
}

const say = (text: string): LivePart => ({ kind: "text", tool: "", text });

it("is written at most four times a second, with what is there then, and gone at the end for good", async () => {
  const { clock, live, read, warnings, writes } = bench();
  let text = "";
  for (let at = 0; at < 1000; at++) {
    text += `word ${at} `;
    live.show(() => [say(text)]);
    if (at % 100 === 99) await clock.advance(100);
  }
  expect(writes()).toBe(3);
  await clock.advance(250);
  expect(await read()).toEqual({ logBytes: 42, parts: [say(text.slice(-6000))] });
  await live.end();
  live.show(() => [say("more ")]);
  await clock.advance(1000);
  expect([await read(), warnings]).toEqual([null, []]);
});

it("is written at once when something has been finished", async () => {
  const { clock, live, read } = bench();
  let parts = [say("first "), say("second ")];
  live.show(() => parts);
  await clock.advance(250);
  parts = [say("second ")];
  live.logged();
  await clock.advance(0);
  expect((await read())?.parts).toEqual([say("second ")]);
});

it("holds no secret at any moment of its growing, however it is cut", async () => {
  const { clock, live, read } = bench();
  const whole = `看${"x".repeat(40_000)} ${SECRET} 模型 correct horse battery, ${"y ".repeat(4000)}token=${SECRET}\nend`;
  let shown = "";
  const ends = Array.from({ length: whole.length }, (_, at) => at + 1).filter(
    (end) => end % 977 === 0 || (end > 39_990 && end < 40_060) || end > 48_020,
  );
  for (const end of ends) {
    live.show(() => [say(whole.slice(0, end)), { kind: "call", tool: "bash", text: whole.slice(40_000, end) }]);
    await clock.advance(250);
    shown += JSON.stringify(await read());
  }
  expect(shown).toContain("REDACTED");
  expect(shown).toContain("模型");
  for (const part of [SECRET.slice(0, 4), "correct", "horse"]) expect(shown).not.toContain(part);
});

it("follows a session's events: the reply that streams and the tools at work, and nothing that is over", () => {
  const live = new PiLive();
  const message = { role: "assistant", content: [{ type: "thinking", thinking: "hm" }] as object[] };
  expect(live.take({ type: "message_update", message })).toBe(true);
  expect(live.parts()).toEqual([{ kind: "thinking", tool: "", text: "hm" }]);
  message.content.push(
    { type: "text", text: "I look" },
    { type: "toolCall", name: "bash", arguments: { command: "l" } },
  );
  const call = { kind: "call", tool: "bash", text: '{"command":"l"}' };
  expect(live.parts()).toEqual([say("I look"), call]);
  expect(live.take({ type: "message_end", message })).toBe(true);
  const tool = { toolCallId: "1", toolName: "bash", partialResult: { content: [{ type: "text", text: "a.ts" }] } };
  live.take({ type: "tool_execution_update", ...tool });
  expect(live.parts()).toEqual([{ kind: "output", tool: "bash", text: "a.ts" }]);
  expect(live.take({ type: "tool_execution_end", toolCallId: "1", toolName: "bash" })).toBe(true);
  expect(live.parts()).toEqual([]);
  expect(live.take({ type: "message_end", message: { role: "toolResult" } })).toBe(false);
});
