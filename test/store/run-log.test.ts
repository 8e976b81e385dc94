import { appendFileSync, copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { spanIdsOf } from "../../src/events/correlation.ts";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { crc32, encodeEventLine } from "../../src/events/event-line.ts";
import { RunLog } from "../../src/store/run-log.ts";
import { HEALTHY_LOG, isDegraded, RunLogReader } from "../../src/store/run-log-reader.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { Files } from "../../src/system/world.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { FailingLogFiles, ownerOf, tempFolder } from "./temp-store.ts";

const files = nodeFiles();
const clock = new FakeClock();

function progress(text: string): NewEvent {
  return { type: "crew.task.progress", taskId: "a", attempt: 1, text };
}

async function openLog(path: string, world: Files = files) {
  const seen: CrewEvent[] = [];
  const reader = new RunLogReader(world, path);
  const log = await RunLog.open({
    files: world,
    clock,
    runId: "run-1",
    path,
    reader,
    onEvent: (event) => void seen.push(event),
  });
  onTestFinished(() => log.close());
  const claim = (nonce: string) => log.claim(ownerOf(nonce), (event) => void seen.push(event));
  const append = (event: NewEvent) => {
    const placed = log.append(event);
    seen.push(placed);
    return placed;
  };
  return { log, seen, claim, append };
}

/** What anyone reads who comes new to the log. */
async function readAll(path: string) {
  const reader = new RunLogReader(files, path);
  const events = await reader.readNew();
  return { events, health: reader.health, position: reader.position };
}

/** A log of a run: made, claimed, some events. */
async function someLog(texts: readonly string[] = ["one", "two \u2028 \u00fc \ud83d\ude00", "three"]): Promise<string> {
  const path = join(await tempFolder(), "events.jsonl");
  const { log, claim, append } = await openLog(path);
  append({ type: "crew.run.started", team: "t", workflow: "w" });
  await claim("first");
  for (const text of texts) append(progress(text));
  await log.sync();
  log.close();
  return path;
}

function placed(seq: number, epoch: number, event: NewEvent): CrewEvent {
  return { v: 1, seq, epoch, ts: 0, runId: "run-1", ...spanIdsOf({ runId: "run-1" }), ...event } as CrewEvent;
}

/** Whole lines only, so that nothing stands glued. */
function lineCount(path: string): number {
  return readFileSync(path, "utf8").split("\n").filter(Boolean).length;
}

describe("a run's log", () => {
  it("gives back what was appended, numbered 1..n without gaps", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: "binary" }), { maxLength: 12 }), async (texts) => {
        const path = await someLog(texts);
        const { events, health } = await readAll(path);
        expect(events.map(({ seq }) => seq)).toEqual(
          [...texts.map((_text, index) => index + 1), 1, 2].sort((a, b) => a - b).map((_seq, index) => index + 1),
        );
        expect(events.slice(2).map((event) => event.type === "crew.task.progress" && event.text)).toEqual(texts);
        expect(isDegraded(health)).toBe(false);
      }),
      { numRuns: 30 },
    );
  });

  it("holds any text on one line", async () => {
    const texts = ["\u2028\u2029", "a\nb\r\nc", "\ud800", "\0", '","crc":1}', "\ufeff"];
    const path = await someLog(texts);
    expect(lineCount(path)).toBe(2 + texts.length);
    const { events } = await readAll(path);
    expect(events.slice(2)).toMatchObject(texts.map((text) => ({ text })));
  });

  it("is read in pieces of any size, lines longer than a piece included", async () => {
    const path = await someLog(["\u00fc".repeat(2000), "\u2028", "x".repeat(50)]);
    const whole = await readAll(path);
    for (const size of [1, 3, 7, 64, 1000]) {
      const pieces: Files = {
        ...files,
        readRange: (name, offset, max) => files.readRange(name, offset, Math.min(size, max)),
      };
      const reader = new RunLogReader(pieces, path);
      expect(await reader.readNew()).toEqual(whole.events);
      expect(reader.position).toEqual(whole.position);
    }
  });

  it("is read on from where the reader stands, also through a line that grows", async () => {
    const source = readFileSync(await someLog());
    const path = join(await tempFolder(), "events.jsonl");
    const reader = new RunLogReader(files, path);
    const events: CrewEvent[] = [];
    for (let at = 0; at < source.length; at += 37) {
      appendFileSync(path, source.subarray(at, at + 37));
      events.push(...(await reader.readNew()));
    }
    expect(events).toHaveLength(5);
    expect(reader.health.bad).toBe(0);
  });

  it("is empty where there is no file", async () => {
    const { events, position } = await readAll(join(await tempFolder(), "none"));
    expect(events).toEqual([]);
    expect(position).toEqual({ seq: 0, epoch: 0, bytes: 0, torn: false });
  });
});

describe("a log cut at every byte", () => {
  it("loses at most the last event, and goes on behind the cut without glue, gap or repetition", async () => {
    const source = await someLog();
    const bytes = readFileSync(source);
    const whole = (await readAll(source)).events;
    const feeds = [...bytes.entries()].flatMap(([at, byte]) => (byte === 0x0a ? [at] : []));
    const folder = await tempFolder();
    for (let cut = 0; cut <= bytes.length; cut++) {
      const path = join(folder, `cut-${cut}`);
      copyFileSync(source, path);
      truncateSync(path, cut);
      // a line that lacks nothing but its line feed is whole
      const kept = whole.slice(0, feeds.filter((feed) => feed <= cut).length);
      const first = await readAll(path);
      expect(first.events, `cut at ${cut}`).toEqual(kept);
      expect(first.position.torn).toBe(cut > 0 && !feeds.includes(cut - 1));
      const torn = first.position.torn && !feeds.includes(cut) ? 1 : 0;
      expect(first.health).toMatchObject({ bad: 0, torn });

      const { log, seen, claim, append } = await openLog(path);
      expect(await claim("next"), `cut at ${cut}`).not.toBeNull();
      append(progress("after"));
      append(progress("and on"));
      log.close();
      const then = await readAll(path);
      expect(then.events.map(({ seq }) => seq)).toEqual(Array.from({ length: kept.length + 3 }, (_, at) => at + 1));
      expect(then.events.slice(0, kept.length)).toEqual(kept);
      expect(then.events.slice(-2)).toMatchObject([{ text: "after" }, { text: "and on" }]);
      expect(then.health).toEqual({ ...HEALTHY_LOG, torn });
      expect(isDegraded(then.health)).toBe(false);
      expect(seen, `the writer knows what a reader knows, cut at ${cut}`).toEqual(then.events);
    }
  });

  it("is told the same by one who read it while it was cut", async () => {
    const source = readFileSync(await someLog());
    const path = join(await tempFolder(), "events.jsonl");
    for (let cut = 0; cut <= source.length; cut++) {
      writeFileSync(path, source.subarray(0, cut));
      const reader = new RunLogReader(files, path);
      const events = await reader.readNew();
      // twice: nothing new must not look like a mended end
      events.push(...(await reader.readNew()));
      const { torn } = reader.position;
      appendFileSync(path, torn ? "\n" : "");
      appendFileSync(path, encodeEventLine(placed(99, 9, progress("after"))));
      events.push(...(await reader.readNew()));
      expect(events).toEqual((await readAll(path)).events);
      expect(reader.position).toEqual((await readAll(path)).position);
      expect(reader.position.torn).toBe(false);
      expect(reader.health).toEqual((await readAll(path)).health);
    }
  });
});

describe("a bad line in the middle", () => {
  it("is counted and skipped, whichever it is, and the rest is read", async () => {
    const source = await someLog();
    const lines = readFileSync(source, "utf8").split("\n").slice(0, -1);
    const whole = (await readAll(source)).events;
    const path = join(await tempFolder(), "damaged");
    const damages = [
      (line: string) => `${line.slice(0, 20)}X${line.slice(21)}`,
      (line: string) => line.slice(9),
      () => "\0".repeat(100),
      () => "not json",
      (line: string) => `${line}\r`,
    ];
    for (let bad = 0; bad < lines.length; bad++)
      for (const damage of damages) {
        writeFileSync(path, lines.map((line, at) => `${at === bad ? damage(line) : line}\n`).join(""));
        const { events, health } = await readAll(path);
        expect(events, `line ${bad + 1}`).toEqual(whole.filter((_event, at) => at !== bad));
        const missing = bad === lines.length - 1 ? 0 : 1;
        expect(health).toEqual({ ...HEALTHY_LOG, bad: 1, missing });
        expect(isDegraded(health)).toBe(true);
        // one can go on with it, too
        const { log, claim, append } = await openLog(path);
        expect(await claim("next")).not.toBeNull();
        append(progress("after"));
        log.close();
        const then = await readAll(path);
        expect(then.events.at(-1)).toMatchObject({ text: "after" });
        expect(then.health, "also behind what the next owner wrote").toEqual({ ...HEALTHY_LOG, bad: 1, missing });
      }
  });

  it("has cost nothing when it is the begin of one and the count goes on behind it", async () => {
    const path = await someLog(["one"]);
    const reader = new RunLogReader(files, path);
    const read = async (more: string) => {
      appendFileSync(path, more);
      await reader.readNew();
      expect((await readAll(path)).health).toEqual(reader.health);
      return { ...reader.health, degraded: isDegraded(reader.health) };
    };
    expect(await read('{"v":1,"seq":4,"epo')).toMatchObject({ torn: 1, degraded: false });
    expect(await read("\n")).toMatchObject({ torn: 1, degraded: false });
    expect(await read(encodeEventLine(placed(4, 1, progress("four"))))).toMatchObject({ torn: 1, degraded: false });
    expect(await read('{"v":1,"seq":5,"epo\n')).toMatchObject({ torn: 2, degraded: false });
    const seven = encodeEventLine(placed(7, 1, progress("seven")));
    expect(await read(seven)).toMatchObject({ bad: 0, torn: 2, missing: 2, degraded: true });
  });

  it("may be what an owner did: its run is degraded from then on, also where the count goes on behind it", async () => {
    for (const damage of [
      "\0\0\0",
      encodeEventLine(placed(4, 1, progress("four")))
        .trimEnd()
        .replace("four", "five"),
    ]) {
      const path = await someLog(["one"]);
      appendFileSync(path, damage);
      const before = (await readAll(path)).health;
      expect(before).toEqual({ ...HEALTHY_LOG, bad: 1 });
      appendFileSync(path, `\n${encodeEventLine(placed(4, 1, progress("another four")))}`);
      const after = await readAll(path);
      expect(after.events.at(-1)).toMatchObject({ text: "another four" });
      expect(after.health).toEqual(before);
    }
  });

  it("is not what makes the second of two claims fail: the first in the file wins", async () => {
    const path = await someLog([]);
    const events = [
      placed(3, 2, { type: "crew.run.claimed", owner: ownerOf("winner") }),
      placed(3, 2, { type: "crew.run.claimed", owner: ownerOf("loser") }),
      placed(4, 2, progress("by the winner")),
    ];
    appendFileSync(path, events.map(encodeEventLine).join(""));
    const { events: read, health } = await readAll(path);
    expect(read.slice(2)).toMatchObject([{ owner: { nonce: "winner" } }, { text: "by the winner" }]);
    expect(health).toMatchObject({ bad: 0, ignored: 1 });
  });

  it("ignores empty lines", async () => {
    const path = await someLog();
    const lines = readFileSync(path, "utf8").split("\n");
    writeFileSync(path, lines.join("\n\n"));
    expect((await readAll(path)).health.bad).toBe(0);
    expect((await readAll(path)).events).toHaveLength(5);
  });

  it("counts what is missing, and what a later version wrote", async () => {
    const path = await someLog([]);
    appendFileSync(path, encodeEventLine(placed(7, 1, progress("seven"))));
    expect((await readAll(path)).health.missing).toBe(4);
    const newer = JSON.stringify({ ...placed(8, 1, progress("eight")), v: 2 });
    appendFileSync(path, `${newer.slice(0, -1)},"crc":${crc32(Buffer.from(newer))}}\n`);
    const { health } = await readAll(path);
    expect(health.newer).toBe(true);
    expect(isDegraded(health)).toBe(true);
  });

  it("keeps its count through an event of a type it does not know", async () => {
    const path = await someLog([]);
    const strange = JSON.stringify({ ...placed(3, 1, progress("x")), type: "crew.run.teleported" });
    appendFileSync(path, `${strange.slice(0, -1)},"crc":${crc32(Buffer.from(strange))}}\n`);
    appendFileSync(path, encodeEventLine(placed(4, 1, progress("four"))));
    const { events, health } = await readAll(path);
    expect(events.at(-1)).toMatchObject({ text: "four" });
    expect(isDegraded(health)).toBe(false);
  });
});

describe("owning a log", () => {
  it("fences what a former owner still writes", async () => {
    const path = await someLog();
    const old = await openLog(path);
    expect(await old.claim("old")).not.toBeNull();
    const next = await openLog(path);
    expect(await next.claim("next")).not.toBeNull();
    old.append(progress("zombie"));
    next.append(progress("living"));
    old.append(progress("zombie again"));
    const { events, health } = await readAll(path);
    expect(events.at(-1)).toMatchObject({ text: "living", epoch: 3 });
    expect(JSON.stringify(events)).not.toContain("zombie");
    expect(health).toMatchObject({ fenced: 2, bad: 0, missing: 0 });
    expect(isDegraded(health)).toBe(false);
  });

  it("goes to exactly one of those who claim at once, as anyone can read", async () => {
    for (let round = 0; round < 40; round++) {
      const path = await someLog();
      const names = ["a", "b", "c"].slice(0, 2 + (round % 2));
      const logs = await Promise.all(names.map(() => openLog(path)));
      const won = await Promise.all(logs.map(({ claim }, at) => claim(names[at] ?? "")));
      const winners = names.filter((_name, at) => won[at] !== null);
      expect(winners).toHaveLength(1);
      const { events, health } = await readAll(path);
      expect(events.at(-1)).toMatchObject({ type: "crew.run.claimed", owner: { nonce: winners[0] }, epoch: 2 });
      expect(health.ignored).toBe(names.length - 1);
      for (const { seen } of logs) expect(seen).toEqual(events);
    }
  });

  it("does not tell a writer its own events again", async () => {
    const path = join(await tempFolder(), "events.jsonl");
    const { seen, claim, append } = await openLog(path);
    append({ type: "crew.run.started", team: "t", workflow: "w" });
    await claim("first");
    append(progress("x"));
    append({ type: "crew.run.released", reason: "quit" });
    await claim("again");
    expect(seen).toEqual((await readAll(path)).events);
  });

  it("is lost to whoever claimed since one looked, also when they have gone on", async () => {
    const path = await someLog();
    const slow = await openLog(path);
    const quick = await openLog(path);
    await quick.claim("quick");
    quick.append(progress("at work"));
    expect(await slow.claim("slow")).toBeNull();
    expect(slow.seen).toEqual((await readAll(path)).events);
    quick.append(progress("undisturbed"));
    expect((await readAll(path)).events.at(-1)).toMatchObject({ text: "undisturbed" });
  });

  it("is lost to an owner that went on writing, who keeps it", async () => {
    const path = await someLog();
    const owner = await openLog(path);
    await owner.claim("owner");
    const thief = await openLog(path);
    owner.append(progress("still here"));
    expect(await thief.claim("thief")).toBeNull();
    owner.append(progress("mine"));
    const { events } = await readAll(path);
    expect(events.at(-1)).toMatchObject({ text: "mine", epoch: 2 });
  });

  it("is had by winning only: who lost, or never claimed, or released, can't write", async () => {
    const path = await someLog();
    const [winner, loser, reader] = await Promise.all([openLog(path), openLog(path), openLog(path)]);
    await winner.claim("winner");
    await loser.claim("loser");
    const before = readFileSync(path);
    expect(() => loser.append(progress("x"))).toThrow(/own/);
    expect(() => reader.append(progress("x"))).toThrow(/own/);
    expect(readFileSync(path)).toEqual(before);
    winner.append({ type: "crew.run.released", reason: "quit" });
    expect(() => winner.append(progress("x"))).toThrow(/own/);
    expect((await readAll(path)).events.at(-1)).toMatchObject({ type: "crew.run.released" });
  });

  it("can be claimed again by who lost, on what has been written since", async () => {
    const path = await someLog();
    const [winner, loser] = await Promise.all([openLog(path), openLog(path)]);
    await winner.claim("winner");
    expect(await loser.claim("loser")).toBeNull();
    winner.append({ type: "crew.run.released", reason: "quit" });
    expect(await loser.claim("too early")).toBeNull();
    expect(await loser.claim("loser")).not.toBeNull();
    loser.append(progress("mine now"));
    expect(loser.seen).toEqual((await readAll(path)).events);
  });
});

describe("a log that can't be written", () => {
  it.each(["write", "part"] as const)(
    "takes nothing more after a failed write (%s), and loses no number",
    async (at) => {
      const failing = new FailingLogFiles();
      const path = await someLog();
      const { log, claim, append } = await openLog(path, failing.files);
      await claim("owner");
      append(progress("before"));
      failing.fail = { at, code: "ENOSPC" };
      expect(() => append(progress("lost"))).toThrow("the run's log can't be written: ENOSPC");
      failing.fail = null;
      expect(() => append(progress("too late"))).toThrow("ENOSPC");
      log.close();
      const next = await openLog(path);
      await next.claim("next");
      next.append(progress("after"));
      const { events, health } = await readAll(path);
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_event, index) => index + 1));
      expect(events.at(-3)).toMatchObject({ text: "before" });
      expect(health).toMatchObject({ missing: 0, bad: 0, torn: at === "part" ? 1 : 0 });
      expect(isDegraded(health)).toBe(false);
    },
  );

  it("takes nothing more after a failed sync: what the disk holds is not known", async () => {
    const failing = new FailingLogFiles();
    const path = await someLog();
    const { log, claim, append } = await openLog(path, failing.files);
    await claim("owner");
    append(progress("before"));
    failing.fail = { at: "sync", code: "EIO" };
    await expect(log.sync()).rejects.toThrow("EIO");
    failing.fail = null;
    await expect(log.sync()).rejects.toThrow("EIO");
    expect(() => append(progress("after"))).toThrow("EIO");
    await expect(log.claim(ownerOf("owner"), () => undefined)).rejects.toThrow("EIO");
  });

  it("refuses an event that is too big, and takes the next", async () => {
    const path = await someLog();
    const { claim, append } = await openLog(path);
    await claim("owner");
    expect(() => append(progress("x".repeat(300_000)))).toThrow("an event has at most 262144 bytes");
    expect(append(progress("small"))).toMatchObject({ seq: 7 });
    expect((await readAll(path)).health).toMatchObject({ missing: 0, bad: 0 });
  });
});
