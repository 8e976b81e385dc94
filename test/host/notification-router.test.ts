import { spawn } from "node:child_process";
import { appendFileSync, chmodSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { Value } from "@sinclair/typebox/value";
import fc from "fast-check";
import { describe, expect, it, onTestFinished } from "vitest";
import { NOTIFICATIONS_SCHEMA, NOTIFICATIONS_USER_ONLY } from "../../src/host/notification-config.ts";
import {
  type Notice,
  type Notification,
  NotificationRouter,
  type NotificationSink,
  type RouterParts,
} from "../../src/host/notification-router.ts";
import { NotificationFile, notificationSinks } from "../../src/host/notification-sinks.ts";
import { parseQuietHours, quietUntil } from "../../src/host/quiet-hours.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { createRedactor } from "../../src/system/redaction.ts";
import { tempFolder } from "../store/temp-store.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { waitUntil } from "../support/processes.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

interface KeptSink extends NotificationSink {
  notices: Notice[];
  messages(): string[];
}

function keepingSink(name: string): KeptSink {
  const notices: Notice[] = [];
  return {
    name,
    notices,
    send: async (notice) => void notices.push(notice),
    messages: () => notices.map(({ message }) => message),
  };
}

/** Local time of a day without a change of clocks. */
function at(hour: number, minute: number, day = 10): number {
  return new Date(2024, 0, day, hour, minute).getTime();
}

function bench(options: Partial<RouterParts> & { now?: number; quiet?: string } = {}) {
  const clock = new FakeClock(options.now ?? at(12, 0));
  const shown = keepingSink("Pi");
  const record = keepingSink("file");
  const warnings: string[] = [];
  const router = new NotificationRouter({
    clock,
    log: { warn: (message) => void warnings.push(message), error: () => undefined },
    record,
    alerts: [shown],
    minSeverity: "info",
    dedupMs: 30_000,
    quietHours: parseQuietHours(options.quiet ?? ""),
    burstMax: 5,
    redact: (text) => text,
    ...options,
  });
  return { clock, shown, record, warnings, router };
}

let count = 0;
function notice(message: string, more: Partial<Notification> = {}): Notification {
  return { id: `n-${++count}`, severity: "info", source: "test", message, ...more };
}

describe("a notification router", () => {
  it("shows and keeps what is severe enough", () => {
    const { router, shown, record, clock } = bench({ minSeverity: "warning" });
    router.notify(notice("i"));
    router.notify(notice("w", { severity: "warning", id: "dead_r_t", runId: "r" }));
    router.notify(notice("e", { severity: "error" }));
    expect(shown.messages()).toEqual(["w", "e"]);
    expect(record.messages()).toEqual(["w", "e"]);
    expect(record.notices[0]).toEqual({
      id: "dead_r_t",
      severity: "warning",
      source: "test",
      message: "w",
      runId: "r",
      at: clock.now(),
    });
  });

  it("shows no secret, no escape sequence and no endless text, whoever wrote it", () => {
    const secret = ["ghp", "q7Zt0aKd93LmXwVb5RyNc1EuHs8GpJf2Tk4o"].join("_");
    const redactor = createRedactor({ secretValues: ["hunter2hunter2"] });
    const { router, shown, record } = bench({ redact: redactor.text });
    router.notify(
      notice(
        `${secret} ${secret.slice(0, 9)}\u001b[0m${secret.slice(9)} hunter2hunter2 \u001b]52;c;x\u0007\u001b[31mred\u202e ${"x".repeat(5000)}`,
        { source: "a\nb" },
      ),
    );
    const [text = ""] = shown.messages();
    expect(text).not.toMatch(/ghp_|q7Z|hunter2|\p{Cc}|\u202e/u);
    expect(text).toHaveLength(2000);
    expect(record.notices[0]).toEqual(shown.notices[0]);
    expect(record.notices[0]?.source).toBe("a b");
  });
});

describe("notices with the same id", () => {
  it("are one within 30 s, or within their own window, counted from the first", async () => {
    const { router, shown, clock } = bench();
    const same = () => router.notify(notice("same", { id: "same" }));
    const hourly = () => router.notify(notice("hourly", { id: "deadletter_threshold_r", dedupMs: HOUR }));
    for (const say of [same, same, hourly]) say();
    await clock.advance(29_999);
    same();
    expect(shown.messages()).toEqual(["same", "hourly"]);
    await clock.advance(1);
    same();
    hourly();
    expect(shown.messages()).toEqual(["same", "hourly", "same"]);
    await clock.advance(HOUR - 30_001);
    hourly();
    expect(shown.messages()).toEqual(["same", "hourly", "same"]);
    await clock.advance(1);
    hourly();
    expect(shown.messages()).toEqual(["same", "hourly", "same", "hourly"]);
  });

  it("stay one when the wall clock is set, and no longer than their window", async () => {
    const { router, shown, clock } = bench();
    const same = () => router.notify(notice("same", { id: "same" }));
    same();
    clock.jump(3 * HOUR);
    same();
    clock.jump(-9 * HOUR);
    await clock.advance(29_999);
    same();
    expect(shown.notices).toHaveLength(1);
    await clock.advance(1);
    same();
    expect(shown.notices).toHaveLength(2);
  });

  it("are remembered in bounded memory: the oldest are forgotten first", async () => {
    const told: string[] = [];
    const { router } = bench({ burstMax: 10_000, alerts: [], record: null, onSent: ({ id }) => told.push(id) });
    for (let n = 0; n < 1500; n++) router.notify(notice("x", { id: `id-${n}` }));
    told.length = 0;
    for (const id of ["id-1499", "id-501", "id-0"]) router.notify(notice("x", { id }));
    expect(told).toEqual(["id-0"]);
  });
});

describe("a burst", () => {
  it("is shown one by one up to five, and the rest as one, once 5 s are over", async () => {
    const told: string[] = [];
    const { router, shown, record, clock } = bench({ onSent: ({ message }) => told.push(message) });
    for (let n = 0; n < 12; n++)
      router.notify(notice(`task ${n}\nfailed`, { severity: n === 9 ? "error" : "warning" }));
    expect(told).toHaveLength(5);
    expect(record.notices).toHaveLength(12);
    await clock.advance(4999);
    expect(shown.notices).toHaveLength(5);
    await clock.advance(1);
    expect(shown.notices).toHaveLength(6);
    expect(shown.notices[5]).toMatchObject({ severity: "error", source: "notifications" });
    expect(shown.messages()[5]?.split("\n")).toEqual([
      "7 more notices:",
      ...[5, 6, 7, 8, 9].map((n) => `  task ${n} failed`),
      "  and 2 more",
    ]);
    expect(told).toHaveLength(12);
    await clock.advance(5000);
    router.notify(notice("alone again"));
    expect(shown.messages().at(-1)).toBe("alone again");
    expect(clock.pending).toBe(0);
  });

  it("that does not end gives a summary every 5 s and holds a bounded number", async () => {
    const { router, shown, clock } = bench();
    for (let second = 0; second < 20; second++) {
      for (let n = 0; n < 100; n++) router.notify(notice("flood"));
      await clock.advance(1000);
    }
    expect(shown.notices.length).toBeLessThanOrEqual(5 + 4 + 4 * 4);
    const summed = shown.messages().map((text) => Number(/^(\d+) more/.exec(text)?.[1] ?? 1));
    expect(summed.reduce((sum, n) => sum + n, 0)).toBe(2000);
  });
});

describe("quiet hours", () => {
  it("are read from the configuration, over midnight too", () => {
    const night = parseQuietHours("22:00-07:30");
    expect(night).toEqual({ startMinute: 22 * 60, endMinute: 7 * 60 + 30 });
    expect(quietUntil(night, at(21, 59))).toBeNull();
    expect(quietUntil(night, at(22, 0))).toBe(at(7, 30, 11));
    expect(quietUntil(night, at(23, 59))).toBe(at(7, 30, 11));
    expect(quietUntil(night, at(0, 0, 11))).toBe(at(7, 30, 11));
    expect(quietUntil(night, at(7, 29, 11))).toBe(at(7, 30, 11));
    expect(quietUntil(night, at(7, 30, 11))).toBeNull();
    const noon = parseQuietHours("12:00-13:00");
    expect([at(11, 59), at(13, 0)].map((time) => quietUntil(noon, time))).toEqual([null, null]);
    expect(quietUntil(noon, at(12, 59))).toBe(at(13, 0));
    for (const none of ["", "10:00-10:00", "nonsense"]) expect(parseQuietHours(none)).toBeNull();
  });

  it("end within a day, in the future, and are over then, on any day", () => {
    const minute = fc.integer({ min: 0, max: 1439 });
    fc.assert(
      fc.property(minute, minute, fc.integer({ min: 0, max: 2e12 }), (startMinute, endMinute, now) => {
        fc.pre(startMinute !== endMinute);
        const until = quietUntil({ startMinute, endMinute }, now);
        if (until === null) return;
        expect(until - now).toBeGreaterThan(-HOUR);
        expect(until - now).toBeLessThanOrEqual(25 * HOUR);
      }),
    );
  });

  it("end at their hour in a night in which clocks are changed, and are waited for without haste", async () => {
    const zone = process.env["TZ"];
    process.env["TZ"] = "Europe/Berlin";
    onTestFinished(() => {
      if (zone === undefined) delete process.env["TZ"];
      else process.env["TZ"] = zone;
    });
    const night = parseQuietHours("22:00-07:00");
    const longNight = quietUntil(night, Date.parse("2024-10-26T21:00:00Z"));
    expect(new Date(longNight ?? 0).toISOString()).toBe("2024-10-27T06:00:00.000Z");
    const shortNight = quietUntil(night, Date.parse("2024-03-30T22:00:00Z"));
    expect(new Date(shortNight ?? 0).toISOString()).toBe("2024-03-31T05:00:00.000Z");
    // 02:15 for the second time
    const { router, clock, shown } = bench({ now: Date.parse("2024-10-27T01:15:00Z"), quiet: "01:00-02:30" });
    let looks = 0;
    const after = clock.after.bind(clock);
    clock.after = (ms, fire) => {
      looks++;
      return after(ms, fire);
    };
    router.notify(notice("twice"));
    await clock.advance(16 * MINUTE);
    expect(shown.messages()).toEqual(["twice"]);
    expect(looks).toBeLessThan(1000);
  });

  it("let infos and warnings wait over midnight until their end, and errors pass", async () => {
    const { router, shown, record, clock } = bench({ now: at(23, 30), quiet: "22:00-07:00" });
    router.notify(notice("late info"));
    router.notify(notice("fire", { severity: "error" }));
    await clock.advance(HOUR);
    router.notify(notice("night warning", { severity: "warning" }));
    expect(record.messages()).toEqual(["late info", "fire", "night warning"]);
    await clock.advance(at(7, 0, 11) - clock.now() - 1);
    expect(shown.messages()).toEqual(["fire"]);
    await clock.advance(1);
    expect(shown.messages()).toEqual(["fire", "late info", "night warning"]);
    router.notify(notice("morning"));
    expect(shown.messages().at(-1)).toBe("morning");
    expect(clock.pending).toBe(0);
  });

  it("give one summary when much waited, of bounded memory", async () => {
    const { router, shown, clock } = bench({ now: at(2, 0), quiet: "22:00-07:00" });
    for (let n = 0; n < 1000; n++) router.notify(notice(`night ${n}`, { severity: n === 900 ? "warning" : "info" }));
    await clock.advance(5 * HOUR);
    expect(shown.notices).toHaveLength(1);
    expect(shown.notices[0]?.severity).toBe("warning");
    expect(shown.messages()[0]).toMatch(/^1000 notices of the quiet hours:\n {2}night 0\n(.*\n)+ {2}and 995 more$/);
  });

  it("end by the wall clock, also when it is set forward, slept through, or set back", async () => {
    const { router, shown, clock } = bench({ now: at(22, 30), quiet: "22:00-07:00" });
    router.notify(notice("one"));
    clock.jump(9 * HOUR);
    await clock.advance(MINUTE);
    expect(shown.messages()).toEqual(["one"]);
    clock.jump(-9 * HOUR);
    router.notify(notice("two"));
    clock.jump(-30 * MINUTE);
    await clock.advance(MINUTE);
    // set back to before they began: nothing is quiet any more
    clock.jump(-30 * MINUTE);
    await clock.advance(MINUTE);
    expect(shown.messages()).toEqual(["one", "two"]);
  });
});

describe("a sink that fails", () => {
  it("is told once through the others, and never thrown", async () => {
    const broken: NotificationSink = { name: "the webhook", send: () => Promise.reject(new Error("answered 500")) };
    let tries = 0;
    const throwing: NotificationSink = {
      name: "the command",
      send: () => {
        tries++;
        throw new Error("no such program");
      },
    };
    const shown = keepingSink("Pi");
    const { router, warnings, record } = bench({ alerts: [shown, broken, throwing] });
    router.notify(notice("a"));
    router.notify(notice("b"));
    await router.dispose();
    expect(record.messages()).toEqual(["a", "b"]);
    expect(warnings).toHaveLength(2);
    const again = bench({ alerts: [shown, broken, throwing] });
    shown.notices.length = 0;
    tries = 0;
    again.router.notify(notice("a"));
    await waitUntil(() => shown.notices.length === 3);
    again.router.notify(notice("b"));
    await waitUntil(() => tries >= 2);
    expect(shown.messages().sort()).toEqual([
      "Notices don't reach the command: no such program",
      "Notices don't reach the webhook: answered 500",
      "a",
      "b",
    ]);
  });

  it("may be the record, or who counts", async () => {
    const record: NotificationSink = { name: "file", send: () => Promise.reject(new Error("ENOSPC")) };
    const onSent = () => {
      throw new Error("log is poisoned");
    };
    const { router, shown, warnings } = bench({ record, onSent });
    router.notify(notice("a"));
    await waitUntil(() => shown.notices.length === 2);
    expect(shown.messages()).toEqual(["a", "Notices don't reach file: ENOSPC"]);
    expect(warnings).toEqual(["a sent notice could not be counted", "a notice could not be sent"]);
  });

  it("by never answering holds up neither the others nor the end, and gets a bounded number", async () => {
    let sendings = 0;
    const send = () => {
      sendings++;
      return new Promise<void>(() => undefined);
    };
    const hanging: NotificationSink = { name: "slow", send };
    const shown = keepingSink("Pi");
    const { router, clock } = bench({ alerts: [hanging, shown], burstMax: 1000 });
    for (let n = 0; n < 100; n++) {
      router.notify(notice("x"));
      await Promise.resolve();
    }
    expect(sendings).toBe(50);
    expect(shown.notices.length).toBeGreaterThanOrEqual(100);
    let over = false;
    const disposed = router.dispose().then(() => {
      over = true;
    });
    await clock.advance(1999);
    expect(over).toBe(false);
    await clock.advance(1);
    await disposed;
    expect(clock.pending).toBe(0);
  });
});

const real = nodeWorld({ warn: () => undefined, error: () => undefined });

function linesOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe("the end of a session", () => {
  it("finds in the file what was still waiting, and takes nothing more", async () => {
    const crewRoot = await tempFolder();
    const record = new NotificationFile(real, join(crewRoot, "notes"));
    const { router, shown, clock } = bench({ record, now: at(23, 0), quiet: "22:00-07:00" });
    for (let n = 0; n < 8; n++) router.notify(notice(`quiet ${n}`));
    for (let n = 0; n < 8; n++) router.notify(notice(`burst ${n}`, { severity: "error" }));
    await Promise.all([router.dispose(), router.dispose()]);
    router.notify(notice("late"));
    await clock.advance(24 * HOUR);
    expect(shown.notices).toHaveLength(5);
    expect(clock.pending).toBe(0);
    const [file = ""] = readdirSync(join(crewRoot, "notes"));
    expect(linesOf(join(crewRoot, "notes", file)).map(({ message }) => message)).toEqual([
      ...Array.from({ length: 8 }, (_, n) => `quiet ${n}`),
      ...Array.from({ length: 8 }, (_, n) => `burst ${n}`),
    ]);
  });
});

describe("the daily file", () => {
  const some = (time: string, message = "m\u2028\n\ud800"): Notice => ({
    id: "i",
    severity: "info",
    source: "s",
    message,
    runId: null,
    at: Date.parse(time),
  });

  it("is named after the UTC day, one valid line each, goes on behind a torn line, and drops old days", async () => {
    const folder = join(await tempFolder(), "state", "notifications");
    mkdirSync(folder, { recursive: true });
    for (const name of ["2024-01-01.jsonl", "2024-01-31.jsonl", "mine.jsonl"]) writeFileSync(join(folder, name), "");
    writeFileSync(join(folder, "2024-02-09.jsonl"), '{"torn');
    const sink = new NotificationFile(real, folder);
    await Promise.all([sink.send(some("2024-02-09T23:59:59.999Z")), sink.send(some("2024-02-10T00:00:00Z"))]);
    // another session's torn line, and a clock that goes back
    appendFileSync(join(folder, "2024-02-10.jsonl"), '{"to');
    await sink.send({ ...some("2024-02-10T00:00:01Z"), runId: "run-1" });
    await sink.send(some("2024-02-09T12:00:00Z", "back"));
    sink.close();
    expect(readdirSync(folder)).toEqual(["2024-01-31.jsonl", "2024-02-09.jsonl", "2024-02-10.jsonl", "mine.jsonl"]);
    const [torn, ...rest] = readFileSync(join(folder, "2024-02-09.jsonl"), "utf8").split("\n");
    expect(torn).toBe('{"torn');
    expect(rest.slice(0, -1).map((line) => JSON.parse(line).message)).toEqual(["m\u2028\n\ud800", "back"]);
    const second = readFileSync(join(folder, "2024-02-10.jsonl"), "utf8").split("\n");
    expect(second).toHaveLength(4);
    expect(JSON.parse(second[2] ?? "")).toMatchObject({
      at: "2024-02-10T00:00:01.000Z",
      severity: "info",
      runId: "run-1",
    });
  });

  it("is not written through a planted link", async () => {
    const folder = await tempFolder();
    const victim = join(folder, "victim");
    writeFileSync(victim, "theirs");
    mkdirSync(join(folder, "a"));
    symlinkSync(victim, join(folder, "a", "2024-02-10.jsonl"));
    await expect(new NotificationFile(real, join(folder, "a")).send(some("2024-02-10T00:00:00Z"))).rejects.toThrow();
    mkdirSync(join(folder, "real"));
    symlinkSync(join(folder, "real"), join(folder, "b"));
    await expect(new NotificationFile(real, join(folder, "b")).send(some("2024-02-10T00:00:00Z"))).rejects.toThrow(
      "symlink",
    );
    expect(readFileSync(victim, "utf8")).toBe("theirs");
    expect(readdirSync(join(folder, "real"))).toEqual([]);
  });
});

describe("the sinks of a configuration", () => {
  const parts = (crewRoot: string, show: (text: string, severity: string) => void = () => undefined) => ({
    world: real,
    crewRoot,
    cwd: crewRoot,
    show,
  });

  it("are Pi, the file, the user's command without a shell, and the user's webhook", async () => {
    const crewRoot = await tempFolder();
    const program = join(crewRoot, "program");
    writeFileSync(program, `#!/bin/sh\nfor it in "$@"; do printf '<%s>' "$it"; done > "${join(crewRoot, "said")}"\n`);
    chmodSync(program, 0o700);
    const bodies: string[] = [];
    const server = createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      bodies.push(body);
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const webhookUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`;
    const seen: string[] = [];
    const { record, alerts } = notificationSinks(
      { file: true, command: [program, "-t", "two words"], webhookUrl },
      parts(crewRoot, (text, severity) => seen.push(`${severity} ${text}`)),
    );
    const { router, clock } = bench({ record, alerts, now: Date.parse("2024-02-10T12:00:00Z") });
    router.notify(notice("--help $(touch x); `y`", { id: "the-id", severity: "warning", runId: "run-1" }));
    await waitUntil(() => bodies.length === 1);
    await router.dispose();
    expect(seen).toEqual(["warning --help $(touch x); `y`"]);
    expect(readFileSync(join(crewRoot, "said"), "utf8")).toBe(
      "<-t><two words><[warning] pi-foreman: --help $(touch x); `y`>",
    );
    const posted = {
      id: "the-id",
      severity: "warning",
      source: "test",
      message: "--help $(touch x); `y`",
      runId: "run-1",
    };
    const time = new Date(clock.now()).toISOString();
    expect(JSON.parse(bodies[0] ?? "")).toEqual({ ...posted, text: "[warning] --help $(touch x); `y`", at: time });
    expect(linesOf(join(crewRoot, "state", "notifications", "2024-02-10.jsonl"))).toEqual([{ ...posted, at: time }]);
  });

  it("tell why a command or a webhook did not take a notice, without what is secret in its address", async () => {
    const crewRoot = await tempFolder();
    const failing = notificationSinks(
      { file: false, command: ["/bin/sh", "-c", "echo why >&2; exit 3"], webhookUrl: "http://example.com/secret" },
      parts(crewRoot),
    );
    expect(failing.record).toBeNull();
    const [, command, webhook] = failing.alerts;
    const one: Notice = { id: "i", severity: "info", source: "s", message: "m", runId: null, at: 0 };
    await expect(command?.send(one)).rejects.toThrow("/bin/sh ended with 3: why");
    await expect(webhook?.send(one)).rejects.toThrow("must begin with https://");
    const none = notificationSinks({ file: false, command: ["/no/such"], webhookUrl: "" }, parts(crewRoot));
    await expect(none.alerts[1]?.send(one)).rejects.toThrow("did not end by itself");
  });

  it("are configured by a schema whose defaults are valid, and which refuses what can't work", () => {
    const defaults = Value.Create(NOTIFICATIONS_SCHEMA);
    expect(Value.Check(NOTIFICATIONS_SCHEMA, defaults)).toBe(true);
    const check = (more: object) => Value.Check(NOTIFICATIONS_SCHEMA, { ...defaults, ...more });
    for (const quietHours of ["22:00-07:00", "00:00-23:59", ""]) expect(check({ quietHours })).toBe(true);
    for (const quietHours of ["24:00-07:00", "9-5", "22:00"]) expect(check({ quietHours })).toBe(false);
    for (const webhookUrl of ["https://a/b", "http://localhost:1/x", "http://[::1]"])
      expect(check({ webhookUrl })).toBe(true);
    for (const webhookUrl of ["http://a/b", "http://localhost.a/", "http://localhost@a/"])
      expect(check({ webhookUrl })).toBe(false);
    expect(check({ minSeverity: "debug" })).toBe(false);
    expect(check({ command: "rm -rf" })).toBe(false);
    expect([...NOTIFICATIONS_USER_ONLY].sort()).toEqual(["command", "webhookUrl"]);
  });
});

describe("a process that is killed", () => {
  it("has its waiting notices in the file", async () => {
    const crewRoot = await tempFolder();
    const script = `
      const { NotificationRouter } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/host/notification-router.ts"))});
      const { NotificationFile } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/host/notification-sinks.ts"))});
      const { nodeWorld } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/system/node.ts"))});
      const world = nodeWorld({ warn() {}, error() {} });
      const minutes = new Date().getHours() * 60 + new Date().getMinutes();
      const router = new NotificationRouter({ ...world, record: new NotificationFile(world, process.argv[1]), alerts: [],
        minSeverity: "info", dedupMs: 0, burstMax: 5, redact: (text) => text,
        quietHours: { startMinute: minutes, endMinute: (minutes + 720) % 1440 } });
      router.notify({ id: "a", severity: "info", source: "s", message: "kept" });
      await world.clock.sleep(60_000);`;
    const folder = join(crewRoot, "notes");
    const child = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", script, folder]);
    const exited = new Promise((resolve) => child.on("exit", resolve));
    const lines = () => {
      try {
        return linesOf(join(folder, readdirSync(folder)[0] ?? ""));
      } catch {
        return [];
      }
    };
    await waitUntil(() => lines().length === 1);
    child.kill("SIGKILL");
    await exited;
    expect(lines()).toMatchObject([{ message: "kept" }]);
  });
});
