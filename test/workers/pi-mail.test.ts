import { describe, expect, it } from "vitest";
import { putMail } from "../../src/workers/mail.ts";
import { PiMail } from "../../src/workers/pi-mail.ts";
import type { HostSession } from "../../src/workers/pi-session.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const FOLDER = "/run/tasks/a/a0001";
const words = (text: string) => `Message from the session that started this run:\n${text}`;

/** A double of the host's queue: what a running session takes from it between two requests. */
function bench() {
  const world = { clock: new FakeClock(), files: new MemoryFiles() };
  const queue: string[] = [];
  const refusals: string[] = [];
  const notes: string[] = [];
  const session: Pick<HostSession, "steer" | "clearQueue" | "agent"> = {
    steer: async (text) => {
      const refusal = refusals.shift();
      if (refusal) throw new Error(refusal);
      queue.push(text);
    },
    agent: { hasQueuedMessages: () => queue.length > 0 },
    clearQueue: () => ({ steering: queue.splice(0) }),
  };
  const mail = new PiMail(world, FOLDER, session, (text) => notes.push(text));
  const write = (messageId: string) =>
    putMail(world.files, FOLDER, [{ messageId, from: "s", text: `say ${messageId}` }]);
  return { mail, write, queue, refusals, notes, ...world };
}

describe("mail for a session", () => {
  it("that was there before is part of the first prompt, and of nothing else", async () => {
    const { mail, write, queue, clock } = bench();
    await write("1");
    await write("2");
    using _following = mail.follow();
    expect(await mail.opening("do it")).toBe(`do it\n\n${words("say 1")}\n\n${words("say 2")}`);
    await clock.advance(1000);
    expect(queue).toEqual([]);
    expect(await mail.rest()).toBe("");
  });

  it("is queued for the next request within a second, once", async () => {
    const { mail, write, queue, notes, clock } = bench();
    expect(await mail.opening("do it")).toBe("do it");
    const following = mail.follow();
    await write("1");
    await clock.advance(999);
    expect(queue.splice(0)).toEqual([words("say 1")]);
    expect(notes).toEqual(["[message 1 comes before the next reply]"]);
    await write("2");
    following[Symbol.dispose]();
    await clock.advance(999);
    expect(queue).toEqual([]);
    expect(clock.pending).toBe(0);
  });

  it("that no request took is the next prompt, in order, with what nobody had looked at yet", async () => {
    const { mail, write, queue, clock } = bench();
    await mail.opening("do it");
    using _following = mail.follow();
    await write("1");
    await clock.advance(999);
    await write("2");
    expect(await mail.rest()).toBe([words("say 1"), words("say 2")].join("\n\n"));
    expect(queue).toEqual([]);
    expect(await mail.rest()).toBe("");
  });

  it("leaves alone what others queued", async () => {
    const { mail, queue } = bench();
    queue.push("of an extension");
    expect(await mail.rest()).toBe("");
    expect(queue).toEqual(["of an extension"]);
  });

  it("that the host refuses, or that can't be read for a while, comes later and is said once", async () => {
    const { mail, write, refusals, notes, files, clock } = bench();
    using _following = mail.follow();
    refusals.push("not now");
    await write("1");
    await clock.advance(999);
    await write("2");
    files.broken.set(`${FOLDER}/mail.jsonl`, "EIO");
    await clock.advance(999);
    files.broken.clear();
    expect(await mail.rest()).toBe([words("say 1"), words("say 2")].join("\n\n"));
    expect(notes).toHaveLength(2);
    expect(notes[0]).toContain("not now");
    expect(notes[1]).toContain("EIO");
  });
});
