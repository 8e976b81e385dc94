import { execFileSync } from "node:child_process";
import * as nodeFs from "node:fs";
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { codeOf } from "../../src/system/errors.ts";
import { nodeFiles } from "../../src/system/node-files.ts";

vi.mock("node:fs", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs")>();
  return { ...real, fdatasync: vi.fn(real.fdatasync), writeSync: vi.fn(real.writeSync) };
});

const files = nodeFiles();
const fdatasync = vi.mocked(nodeFs.fdatasync);
const writeSync = vi.mocked(nodeFs.writeSync);
let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "foreman-files-"));
  fdatasync.mockClear();
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function at(name: string): string {
  return join(folder, name);
}

/** The code of what `work` throws or rejects with; `none` when it does not. */
async function codeFrom(work: () => unknown): Promise<string> {
  try {
    await work();
    return "none";
  } catch (error) {
    return codeOf(error);
  }
}

const modeOf = (path: string) => lstatSync(path).mode & 0o777;

describe("writeAtomic", () => {
  it("replaces a planted symlink instead of following it", async () => {
    writeFileSync(at("victim"), "precious");
    symlinkSync(at("victim"), at("state.json"));
    await files.writeAtomic(at("state.json"), "new");
    expect(readFileSync(at("victim"), "utf8")).toBe("precious");
    expect(lstatSync(at("state.json")).isFile()).toBe(true);
    expect(readFileSync(at("state.json"), "utf8")).toBe("new");
  });

  it("leaves another name of the old file alone", async () => {
    writeFileSync(at("other"), "precious");
    linkSync(at("other"), at("state.json"));
    await files.writeAtomic(at("state.json"), "new");
    expect(readFileSync(at("other"), "utf8")).toBe("precious");
  });

  it("writes for the user alone and leaves no temporary file", async () => {
    await files.writeAtomic(at("a"), new Uint8Array([1, 2, 3]));
    expect(modeOf(at("a"))).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["a"]);
  });

  it("keeps the old file, and cleans up, when the new one can't take its place", async () => {
    mkdirSync(at("target"));
    writeFileSync(at("target/inside"), "x");
    expect(await codeFrom(() => files.writeAtomic(at("target"), "new"))).toMatch(/EISDIR|ENOTEMPTY|EEXIST/);
    expect(readdirSync(folder)).toEqual(["target"]);
    expect(await codeFrom(() => files.writeAtomic(at("missing/a"), "new"))).toBe("ENOENT");
  });

  it("shows a reader the old or the new file, never a part", async () => {
    const [old, young] = ["o".repeat(300_000), "y".repeat(200_000)];
    await files.writeAtomic(at("a"), old);
    const seen = new Set<string>();
    let writing = true;
    const reader = (async () => {
      while (writing) seen.add((await files.readText(at("a"))) ?? "nothing");
    })();
    for (let turn = 0; turn < 20; turn++) await files.writeAtomic(at("a"), turn % 2 ? old : young);
    writing = false;
    await reader;
    expect([...seen].filter((text) => text !== old && text !== young)).toEqual([]);
  });
});

describe("writeNew", () => {
  it("refuses what exists, whatever it is, and cleans up", async () => {
    writeFileSync(at("file"), "old");
    symlinkSync(at("nowhere"), at("dangling"));
    mkdirSync(at("folder"));
    for (const name of ["file", "dangling", "folder"])
      expect(await codeFrom(() => files.writeNew(at(name), "new")), name).toBe("EEXIST");
    expect(readFileSync(at("file"), "utf8")).toBe("old");
    expect(existsSync(at("nowhere"))).toBe(false);
    expect(readdirSync(folder).sort()).toEqual(["dangling", "file", "folder"]);
  });

  it("lets one of many writers win", async () => {
    const ends = await Promise.allSettled(["a", "b", "c", "d"].map((text) => files.writeNew(at("one"), text)));
    expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(readdirSync(folder)).toEqual(["one"]);
    expect(statSync(at("one")).nlink).toBe(1);
    expect(modeOf(at("one"))).toBe(0o600);
  });
});

describe("openAppend", () => {
  it("refuses a symlink, also one that leads nowhere", async () => {
    writeFileSync(at("victim"), "precious");
    symlinkSync(at("victim"), at("link"));
    symlinkSync(at("nowhere"), at("dangling"));
    expect(await codeFrom(() => files.openAppend(at("link")))).toBe("ELOOP");
    expect(await codeFrom(() => files.openAppend(at("dangling")))).toBe("ELOOP");
    expect(existsSync(at("nowhere"))).toBe(false);
  });

  it("refuses a file with a second name, and leaves it as it was", async () => {
    writeFileSync(at("victim"), "precious");
    linkSync(at("victim"), at("log"));
    expect(await codeFrom(() => files.openAppend(at("log")))).toBe("EINVAL");
    expect(readFileSync(at("victim"), "utf8")).toBe("precious");
  });

  it("refuses a pipe at once, with and without a reader", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    expect(await codeFrom(() => files.openAppend(at("pipe")))).toBe("ENXIO");
    const reader = nodeFs.openSync(at("pipe"), nodeFs.constants.O_RDONLY | nodeFs.constants.O_NONBLOCK);
    expect(await codeFrom(() => files.openAppend(at("pipe")))).toBe("EINVAL");
    nodeFs.closeSync(reader);
  });

  it("refuses a folder and a device", async () => {
    expect(await codeFrom(() => files.openAppend(folder))).toBe("EISDIR");
    expect(await codeFrom(() => files.openAppend("/dev/null"))).toBe("EINVAL");
  });

  it("closes what it refused", async () => {
    writeFileSync(at("victim"), "precious");
    linkSync(at("victim"), at("log"));
    const open = () => readdirSync("/proc/self/fd").length;
    const before = open();
    for (let turn = 0; turn < 20; turn++) await codeFrom(() => files.openAppend(at("log")));
    expect(open()).toBe(before);
  });

  it("appends, with others and after what is there", () => {
    writeFileSync(at("log"), "old\n");
    const [one, two] = [files.openAppend(at("log")), files.openAppend(at("log"))];
    one.write("1\n");
    two.write(Buffer.from("2\n"));
    one.write("\u2028\n");
    one.close();
    two.close();
    expect(readFileSync(at("log"), "utf8")).toBe("old\n1\n2\n\u2028\n");
  });

  it("makes the file for the user alone", () => {
    files.openAppend(at("log")).close();
    expect(modeOf(at("log"))).toBe(0o600);
  });

  it("throws at a short write: the line is torn", () => {
    const handle = files.openAppend(at("log"));
    writeSync.mockImplementationOnce(() => 3);
    expect(() => handle.write("longer\n")).toThrow(/short write .* 3 of 7 bytes/);
    handle.close();
  });

  it("throws the system's error on a full disk", async () => {
    const handle = nodeFs.existsSync("/dev/full") ? nodeFs.openSync("/dev/full", "w") : null;
    expect(handle).not.toBeNull();
    writeSync.mockImplementationOnce(() => nodeFs.writeSync(handle as number, "x"));
    const log = files.openAppend(at("log"));
    expect(await codeFrom(() => log.write("x"))).toBe("ENOSPC");
    nodeFs.closeSync(handle as number);
    log.close();
  });

  it("refuses to write and to sync once it is closed, and closes once", async () => {
    const handle = files.openAppend(at("log"));
    handle.close();
    handle.close();
    // would get the number of the closed one
    const other = files.openAppend(at("other"));
    expect(await codeFrom(() => handle.write("x"))).toBe("EBADF");
    expect(await codeFrom(() => handle.sync())).toBe("EBADF");
    handle.close();
    other.write("mine");
    other.close();
    expect(readFileSync(at("other"), "utf8")).toBe("mine");
  });
});

describe("the sync of an append handle", () => {
  it("is shared by all who waited while one was under way", async () => {
    const handle = files.openAppend(at("log"));
    handle.write("x\n");
    await Promise.all(Array.from({ length: 20 }, () => handle.sync()));
    // the first began at once; the other nineteen share the second
    expect(fdatasync).toHaveBeenCalledTimes(2);
    handle.close();
  });

  it("never counts a sync that began before the call", async () => {
    const handle = files.openAppend(at("log"));
    const done: string[] = [];
    let finishFirst: () => void = () => undefined;
    fdatasync.mockImplementationOnce((_fd, callback) => {
      finishFirst = () => callback(null);
    });
    const first = handle.sync().then(() => done.push("first"));
    handle.write("late\n");
    const second = handle.sync().then(() => done.push("second"));
    expect(fdatasync).toHaveBeenCalledTimes(1);
    finishFirst();
    await first;
    expect(done).toEqual(["first"]);
    await second;
    expect(fdatasync).toHaveBeenCalledTimes(2);
    handle.close();
  });

  it("fails for those who shared it, not for those who come after", async () => {
    const handle = files.openAppend(at("log"));
    fdatasync.mockImplementationOnce((_fd, callback) => callback(Object.assign(new Error("EIO"), { code: "EIO" })));
    expect(await codeFrom(() => handle.sync())).toBe("EIO");
    expect(await codeFrom(() => handle.sync())).toBe("none");
    handle.close();
  });

  it("is waited for by close", async () => {
    const handle = files.openAppend(at("log"));
    const syncs = Promise.all([handle.sync(), handle.sync()]);
    handle.close();
    await syncs;
    expect(fdatasync).toHaveBeenCalledTimes(2);
  });
});

describe("reading", () => {
  it("answers null where there is nothing", async () => {
    writeFileSync(at("file"), "x");
    for (const path of [at("none"), at("file/below")]) {
      expect(await files.read(path)).toBeNull();
      expect(await files.readText(path)).toBeNull();
      expect(await files.readRange(path, 0, 10)).toBeNull();
      expect(await files.facts(path)).toBeNull();
      expect(await files.list(path)).toEqual([]);
    }
  });

  it("gives ranges, shorter at the end", async () => {
    writeFileSync(at("file"), "0123456789");
    const range = async (offset: number, bytesMax: number) =>
      Buffer.from((await files.readRange(at("file"), offset, bytesMax)) ?? []).toString();
    expect(await range(2, 3)).toBe("234");
    expect(await range(8, 100)).toBe("89");
    expect(await range(10, 5)).toBe("");
    expect(await range(50, 5)).toBe("");
  });

  it("puts a range where there is room for it", async () => {
    writeFileSync(at("file"), "0123456789".repeat(20_000));
    const room = Buffer.alloc(100_000);
    for (const bytes of [10, 100_000]) {
      const range = await files.readRange(at("file"), 5, bytes, room);
      expect([range?.buffer, range?.length]).toEqual([room.buffer, bytes]);
      expect(room.toString("latin1", 0, 10)).toBe("5678901234");
    }
    expect(await files.readRange(at("file"), 0, 150_000, room)).toHaveLength(150_000);
  });

  it("does not wait for a pipe to speak", async () => {
    execFileSync("mkfifo", [at("pipe")]);
    expect(await files.readRange(at("pipe"), 0, 10)).toEqual(Buffer.alloc(0));
    await expect(files.readText(at("pipe"))).rejects.toMatchObject({ code: "ENOTREG" });
  });

  it("refuses what has no end, and what is longer than wanted", async () => {
    symlinkSync("/dev/zero", at("zero"));
    for (const path of [at("zero"), folder]) {
      await expect(files.read(path)).rejects.toMatchObject({ code: "ENOTREG" });
      await expect(files.readText(path)).rejects.toThrow(`${path} is not a regular file`);
    }
    writeFileSync(at("file"), "12345");
    await expect(files.read(at("file"), 4)).rejects.toMatchObject({ code: "EFBIG" });
    await expect(files.readText(at("file"), 4)).rejects.toThrow("has more than 4 bytes");
    expect(await files.readText(at("file"), 5)).toBe("12345");
    // sparse: nothing is on the disk, but all of it would come
    truncateSync(at("file"), 5 * 1024 ** 3);
    await expect(files.readText(at("file"))).rejects.toMatchObject({ code: "EFBIG" });
  });

  it("reads whole files, also those that do not tell their size", async () => {
    const text = "ä€🚀\n".repeat(50_000);
    writeFileSync(at("file"), text);
    writeFileSync(at("empty"), "");
    symlinkSync(at("file"), at("link"));
    expect(await files.readText(at("link"))).toBe(text);
    expect(await files.readText(at("empty"))).toBe("");
    expect(await files.read(at("empty"))).toHaveLength(0);
    if (process.platform === "linux") expect(await files.readText("/proc/self/status")).toContain("Pid:");
  });

  it("says what a path itself is", async () => {
    writeFileSync(at("file"), "12345");
    symlinkSync(at("file"), at("link"));
    execFileSync("mkfifo", [at("pipe")]);
    expect(await files.facts(at("file"))).toMatchObject({ kind: "file", bytes: 5, links: 1 });
    expect((await files.facts(at("link")))?.kind).toBe("symlink");
    expect((await files.facts(folder))?.kind).toBe("directory");
    expect((await files.facts(at("pipe")))?.kind).toBe("other");
  });

  it("lists sorted", async () => {
    for (const name of ["b", "a", "C"]) writeFileSync(at(name), "");
    expect(await files.list(folder)).toEqual(["C", "a", "b"]);
  });
});

describe("looking at once", () => {
  it("reads a part, and says what a path itself is", () => {
    writeFileSync(at("file"), "12345");
    expect(Buffer.from(files.readNow(at("file"), 1, 3) ?? []).toString()).toBe("234");
    expect(Buffer.from(files.readNow(at("file"), 3, 100) ?? []).toString()).toBe("45");
    expect(files.readNow(at("file"), 9, 100)).toHaveLength(0);
    expect(files.readNow(at("none"), 0, 1)).toBeNull();
    expect(files.readNow(at("file/below"), 0, 1)).toBeNull();
    expect(files.factsNow(at("file"))).toMatchObject({ kind: "file", bytes: 5 });
    expect(files.factsNow(at("none"))).toBeNull();
    expect(files.factsNow(at("file/below"))).toBeNull();
  });

  it("neither follows a link nor waits for a pipe", async () => {
    writeFileSync(at("file"), "12345");
    symlinkSync(at("file"), at("link"));
    execFileSync("mkfifo", [at("pipe")]);
    expect(await codeFrom(() => files.readNow(at("link"), 0, 5))).toBe("ELOOP");
    expect(await codeFrom(() => files.readNow(at("pipe"), 0, 5))).toBe("ESPIPE");
    expect(files.factsNow(at("link"))?.kind).toBe("symlink");
  });

  it("gives the same of small and of big files", async () => {
    for (const bytes of [1, 64 * 1024, 64 * 1024 + 1, 200_000]) {
      const text = "0123456789".repeat(bytes / 10 + 1).slice(0, bytes);
      writeFileSync(at("file"), text);
      expect(await files.readText(at("file"))).toBe(text);
      expect(Buffer.from((await files.readRange(at("file"), 5, 70_000)) ?? []).toString()).toBe(text.slice(5, 70_005));
      expect(await codeFrom(() => files.readText(at("file"), bytes - 1))).toBe("EFBIG");
    }
  });
});

describe("removing", () => {
  it("takes a link away, not what it points to", async () => {
    mkdirSync(at("precious"));
    writeFileSync(at("precious/file"), "x");
    mkdirSync(at("run"));
    symlinkSync(at("precious"), at("run/link"));
    symlinkSync(at("precious"), at("link"));
    await files.remove(at("link"));
    await files.remove(at("run"));
    await files.remove(at("run"));
    expect(readdirSync(folder)).toEqual(["precious"]);
    expect(readFileSync(at("precious/file"), "utf8")).toBe("x");
  });
});

describe("makeFolder", () => {
  it("makes parents, for the user alone, and is content with what is there", async () => {
    await files.makeFolder(at("a/b/c"));
    await files.makeFolder(at("a/b/c"));
    expect(modeOf(at("a"))).toBe(0o700);
    expect(modeOf(at("a/b/c"))).toBe(0o700);
  });
});
