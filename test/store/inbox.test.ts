import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Inbox, type InboxParts, postRequest } from "../../src/store/inbox.ts";
import { type InboxRequest, type PostedRequest, parseRequest } from "../../src/store/inbox-request.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";
import { tempFolder } from "./temp-store.ts";

const SCRIPT = fileURLToPath(new URL("./inbox-process.ts", import.meta.url));

interface Bench {
  runFolder: string;
  folder: string;
  clock: FakeClock;
  inbox: Inbox;
  taken: PostedRequest[];
  warnings: string[];
  post(request: InboxRequest): Promise<string>;
  left(): string[];
}

/** A run's inbox in a real folder, with an owner who keeps what it takes. */
async function bench(options: Partial<InboxParts> = {}): Promise<Bench> {
  const runFolder = options.runFolder ?? (await tempFolder());
  const folder = join(runFolder, "inbox");
  if (!existsSync(folder)) mkdirSync(folder);
  const clock = new FakeClock();
  const warnings: string[] = [];
  const taken: PostedRequest[] = [];
  const log = { warn: (message: string) => void warnings.push(message), error: () => undefined };
  const world = { ...nodeWorld(log), clock };
  const handle = async (request: PostedRequest) => void taken.push(request);
  const inbox = new Inbox({ ...world, runFolder, handle, ...options });
  return {
    runFolder,
    folder,
    clock,
    inbox,
    taken,
    warnings,
    post: (request) => postRequest(world, runFolder, request, "session-1"),
    left: () => readdirSync(folder).filter((name) => name !== "rejected"),
  };
}

function inProcess(...args: string[]): Promise<number | string | null> {
  const child = spawn(process.execPath, ["--import", "tsx", SCRIPT, ...args], { stdio: "inherit" });
  return new Promise((resolve) => child.on("exit", (code, signal) => resolve(signal ?? code)));
}

const cancel = (reason: string): InboxRequest => ({ kind: "cancel", reason });
const reasons = (taken: readonly PostedRequest[]) =>
  taken.map((one) => (one.kind === "cancel" ? one.reason : one.kind));

describe("an inbox", () => {
  it("hands over each kind as it was asked, with who asked and when, and deletes its file", async () => {
    const { inbox, post, taken, left, clock } = await bench();
    const asked: InboxRequest[] = [
      cancel("changed my mind"),
      { kind: "steer", taskId: "build", text: "mind the \u2028 tests\n" },
      { kind: "deadletter", taskId: "build" },
      { kind: "redrive", taskId: "build", newRunId: "run-2" },
      { kind: "cancel-task", taskId: "build", reason: "not needed" },
    ];
    const ids: string[] = [];
    for (const request of asked) ids.push(await post(request));
    await inbox.take();
    const from = { pid: process.pid, sessionId: "session-1" };
    expect(taken).toEqual(asked.map((request, at) => ({ ...request, id: ids[at], at: clock.now(), from })));
    expect(left()).toEqual([]);
  });

  it("keeps the order of asking within a millisecond and when the clock goes back", async () => {
    const { inbox, post, taken, clock } = await bench();
    for (const reason of ["one", "two", "three"]) await post(cancel(reason));
    clock.jump(-7_200_000);
    for (const reason of ["four", "five"]) await post(cancel(reason));
    await inbox.take();
    expect(reasons(taken)).toEqual(["one", "two", "three", "four", "five"]);
  });

  it("is looked at every 500 ms, and at once where the system tells of changes", async () => {
    const quiet = await bench();
    const unwatched = await bench({
      files: {
        ...nodeWorld({ warn: () => undefined, error: () => undefined }).files,
        watch: () => ({ [Symbol.dispose]: () => undefined }),
      },
      clock: quiet.clock,
    });
    unwatched.inbox.start();
    await unwatched.inbox.take();
    await unwatched.post(cancel("polled"));
    await quiet.clock.advance(499);
    expect(unwatched.taken).toEqual([]);
    await quiet.clock.advance(1);
    await unwatched.inbox.take();
    expect(reasons(unwatched.taken)).toEqual(["polled"]);
    await unwatched.inbox.close();
    // this clock stands still: only the hint is left
    quiet.inbox.start();
    await quiet.inbox.take();
    await quiet.post(cancel("hinted"));
    await waitUntil(() => quiet.taken.length === 1);
    await quiet.inbox.close();
    expect(quiet.clock.pending).toBe(0);
  });

  it("takes nothing more once it is closed, and closing waits for the handler under way", async () => {
    const steps: string[] = [];
    let finish: () => void = () => undefined;
    const { inbox, post, left } = await bench({
      handle: async () => {
        steps.push("begun");
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        steps.push("done");
      },
    });
    await post(cancel("a"));
    await post(cancel("b"));
    inbox.start();
    await waitUntil(() => steps.length === 1);
    const closed = inbox.close().then(() => steps.push("closed"));
    finish();
    await closed;
    await inbox.take();
    await inbox.close();
    expect(steps).toEqual(["begun", "done", "closed"]);
    expect(left()).toHaveLength(1);
  });

  it("tells who asks that there is no such run, or that it is too much", async () => {
    const { post, runFolder, left } = await bench();
    await expect(post(cancel("x".repeat(70_000)))).rejects.toThrow("64 kB");
    const world = nodeWorld({ warn: () => undefined, error: () => undefined });
    await expect(postRequest(world, join(runFolder, "none"), cancel("x"), "s")).rejects.toThrow("gone");
    expect(left()).toEqual([]);
  });
});

describe("requests of several processes", () => {
  it("all arrive, once, each poster's in its order", async () => {
    const { inbox, taken, runFolder, left } = await bench();
    const posting = Promise.all(["a", "b", "c"].map((tag) => inProcess("post", runFolder, "30", tag)));
    let over = false;
    void posting.then(() => {
      over = true;
    });
    while (!over) {
      await inbox.take();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(await posting).toEqual([0, 0, 0]);
    await inbox.take();
    for (const tag of ["a", "b", "c"])
      expect(reasons(taken).filter((reason) => reason.startsWith(tag))).toEqual(
        Array.from({ length: 30 }, (_, at) => `${tag} ${at}`),
      );
    expect(new Set(taken.map(({ id }) => id)).size).toBe(90);
    expect(left()).toEqual([]);
  });
});

describe("an owner that dies between handling and deleting", () => {
  it("leaves the file; the next owner, who knows the id from the log, deletes it and does nothing twice", async () => {
    const { post, runFolder } = await bench();
    const applied = join(runFolder, "applied");
    const id = await post(cancel("once"));
    expect(await inProcess("own", runFolder, applied)).toBe("SIGKILL");
    expect(readFileSync(applied, "utf8")).toBe(`${id}\n`);
    const next = await bench({ runFolder, handledIds: readFileSync(applied, "utf8").split("\n") });
    expect(next.left()).toEqual([`${id}.json`]);
    await next.post(cancel("new"));
    await next.inbox.take();
    expect(reasons(next.taken)).toEqual(["new"]);
    expect(next.left()).toEqual([]);
  });

  it("does not handle twice either what it could not delete", async () => {
    const real = nodeWorld({ warn: () => undefined, error: () => undefined }).files;
    let refusals = 3;
    const remove = (path: string) =>
      refusals-- > 0 ? Promise.reject(Object.assign(new Error("EROFS"), { code: "EROFS" })) : real.remove(path);
    const { inbox, post, taken, left, warnings } = await bench({ files: { ...real, remove } });
    await post(cancel("a"));
    await inbox.take();
    await inbox.take();
    await post(cancel("b"));
    await inbox.take();
    expect(reasons(taken)).toEqual(["a", "b"]);
    await inbox.take();
    expect(left()).toEqual([]);
    expect(warnings).toHaveLength(1);
  });
});

describe("a handler that fails", () => {
  it("is tried again each 500 ms, those behind wait, and after five times the request is put aside", async () => {
    const tried: string[] = [];
    const clock = new FakeClock();
    const { inbox, post, folder, left, warnings } = await bench({
      clock,
      handle: async (request) => {
        tried.push(...reasons([request]));
        if (reasons([request])[0] === "bad") throw new Error("no such task");
      },
    });
    await post(cancel("bad"));
    await post(cancel("good"));
    for (let look = 0; look < 4; look++) {
      await inbox.take();
      await inbox.take();
      expect(tried).toEqual(Array.from({ length: look + 1 }, () => "bad"));
      await clock.advance(500);
    }
    await inbox.take();
    expect(tried).toEqual(["bad", "bad", "bad", "bad", "bad", "good"]);
    expect(left()).toEqual([]);
    expect(readdirSync(join(folder, "rejected"))).toHaveLength(1);
    expect(warnings).toHaveLength(2);
  });

  it("gets another chance within these tries", async () => {
    const clock = new FakeClock();
    let tries = 0;
    const { inbox, post, left } = await bench({
      clock,
      handle: async () => {
        if (++tries < 3) throw new Error("ENOSPC");
      },
    });
    await post(cancel("a"));
    for (let look = 0; look < 3; look++) {
      await inbox.take();
      await clock.advance(500);
    }
    expect(left()).toEqual([]);
  });
});

describe("a file that is no request", () => {
  const good = { v: 1, id: "x", at: 1, from: { pid: 1, sessionId: "s" }, kind: "cancel", reason: "r" };
  const bad: [string, string][] = [
    ["empty", ""],
    ["not JSON", "rm -rf /"],
    ["a list", "[]"],
    ["null", "null"],
    ["a later version", JSON.stringify({ ...good, v: 2 })],
    ["an unknown kind", JSON.stringify({ ...good, kind: "explode" })],
    ["a kind of every object", JSON.stringify({ ...good, kind: "toString" })],
    ["another's id", JSON.stringify({ ...good, id: "y" })],
    ["a field that is no text", JSON.stringify({ ...good, reason: { a: 1 } })],
    ["a missing field", JSON.stringify({ ...good, kind: "steer", text: "t" })],
    ["a task without a name", JSON.stringify({ ...good, kind: "deadletter", taskId: "" })],
    ["a redrive as no run", JSON.stringify({ ...good, kind: "redrive", taskId: "build" })],
    ["no poster", JSON.stringify({ ...good, from: null })],
    ["torn", JSON.stringify(good).slice(0, -3)],
    ["too big", JSON.stringify({ ...good, reason: "x".repeat(70_000) })],
    ["bytes", "\u0000\u0001\ufffd"],
  ];

  it.each(bad)("is put aside and counted: %s", async (_what, text) => {
    const { inbox, folder, taken, left, post } = await bench();
    writeFileSync(join(folder, "x.json"), text);
    await post(cancel("behind it"));
    await inbox.take();
    expect(reasons(taken)).toEqual(["behind it"]);
    expect(left()).toEqual([]);
    expect(readFileSync(join(folder, "rejected", "x.json"), "utf8")).toBe(text.slice(0, 65_536));
  });

  it("is told from one whatever it holds, and a request has nothing in it that was not asked for", () => {
    expect(parseRequest(JSON.stringify({ ...good, more: 1 }), "x")).toEqual({
      kind: "cancel",
      reason: "r",
      id: "x",
      at: 1,
      from: { pid: 1, sessionId: "s" },
    });
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => parseRequest(text, "x") === null));
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (reason) => {
        const read = parseRequest(JSON.stringify({ ...good, reason }), "x");
        expect(read).toMatchObject({ reason });
      }),
    );
  });

  it("is kept a hundred times, and no more", async () => {
    const { inbox, folder, left } = await bench();
    for (let at = 0; at < 120; at++) writeFileSync(join(folder, `bad-${at}`), "x");
    await inbox.take();
    expect(left()).toEqual([]);
    expect(readdirSync(join(folder, "rejected"))).toHaveLength(100);
  });
});

describe("planted links", () => {
  it("in the inbox go without being followed; folders stay", async () => {
    const { inbox, folder, runFolder, taken, left } = await bench();
    const victim = join(runFolder, "victim.json");
    const from = { pid: 1, sessionId: "s" };
    writeFileSync(victim, JSON.stringify({ v: 1, id: "link", at: 1, from, kind: "cancel", reason: "r" }));
    symlinkSync(victim, join(folder, "link.json"));
    mkdirSync(join(folder, "deep.json"));
    await inbox.take();
    expect(taken).toEqual([]);
    expect(left()).toEqual(["deep.json"]);
    expect(existsSync(victim)).toBe(true);
    expect(readdirSync(join(folder, "rejected"))).toEqual([]);
  });

  it("in place of the inbox, or of what was put aside, lead nowhere", async () => {
    const elsewhere = await tempFolder();
    const runFolder = await tempFolder();
    symlinkSync(elsewhere, join(runFolder, "inbox"));
    writeFileSync(join(elsewhere, "theirs"), "x");
    const { inbox, post, warnings } = await bench({ runFolder });
    await expect(post(cancel("x"))).rejects.toThrow("symlink");
    await inbox.take();
    await inbox.take();
    expect(warnings).toEqual(["a run's inbox can't be read"]);
    expect(readdirSync(elsewhere)).toEqual(["theirs"]);

    const other = await bench();
    symlinkSync(elsewhere, join(other.folder, "rejected"));
    writeFileSync(join(other.folder, "bad"), "x");
    await other.inbox.take();
    expect(readdirSync(elsewhere)).toEqual(["theirs"]);
    expect(other.left()).toEqual([]);
  });
});
