import { describe, expect, it } from "vitest";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import type { RetryPolicy } from "../../src/runs/run-config.ts";
import { AttemptFailure, type Failure } from "../../src/supervision/failure-kind.ts";
import { executeWithRetry, RetryAborted, type RetryHooks } from "../../src/supervision/retry-executor.ts";
import { FakeClock } from "../support/fake-clock.ts";

const DEFAULT_RETRY_POLICY = DEFAULT_CONFIG.reliability.retryPolicy;

function setup(changes: Partial<RetryHooks> = {}, policy: RetryPolicy | null = DEFAULT_RETRY_POLICY) {
  const clock = new FakeClock();
  const told: string[] = [];
  const hooks: RetryHooks = {
    clock,
    random: { next: () => 0.5 },
    onAttemptFailed: (attempt, error, nextDelayMs) =>
      void told.push(`failed ${attempt}: ${(error as Error).message}, again in ${nextDelayMs}`),
    onRetryGivenUp: (attempts, error, reason) =>
      void told.push(`given up after ${attempts}: ${(error as Error).message}, ${reason}`),
    ...changes,
  };
  /** Attempts at their times. */
  const begun: string[] = [];
  const start = clock.monotonicMs();
  function run<T>(work: (attempt: number) => Promise<T>) {
    return executeWithRetry(
      (attempt) => {
        begun.push(`${attempt} at ${clock.monotonicMs() - start}`);
        return work(attempt);
      },
      policy,
      hooks,
    );
  }
  return { clock, told, begun, run };
}

const permanent: Failure = {
  kind: "permanent",
  reason: "permanent",
  retryAfterMs: null,
  error: { kind: "model-request", message: "bad key" },
};

/** First what is under way comes to its wait, then time goes on. */
async function pass(clock: FakeClock, ms: number) {
  await clock.advance(0);
  await clock.advance(ms);
}

/** Settles without anybody waiting for it yet. */
function settling<T>(promise: Promise<T>) {
  const seen = { settled: false };
  const done = promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  void done.then(() => {
    seen.settled = true;
  });
  return { seen, done };
}

describe("executeWithRetry", () => {
  it("makes three attempts where two fail, numbered from 1, with the backoff between", async () => {
    const { clock, told, begun, run } = setup();
    const { done } = settling(
      run(async (attempt) => {
        if (attempt < 3) throw new Error("502");
        return "well";
      }),
    );
    await pass(clock, 10_000);
    expect(await done).toEqual({ value: "well" });
    expect(begun).toEqual(["1 at 0", "2 at 1000", "3 at 3000"]);
    expect(told).toEqual(["failed 1: 502, again in 1000", "failed 2: 502, again in 2000"]);
  });

  it("gives up with the last error when attempts are used up, and tells it once", async () => {
    const { clock, told, begun, run } = setup();
    const { done } = settling(run(async (attempt) => Promise.reject(new Error(`502 no ${attempt}`))));
    await pass(clock, 10_000);
    expect(await done).toMatchObject({ error: { message: "502 no 3" } });
    expect(begun).toHaveLength(3);
    expect(told.at(-1)).toBe("given up after 3: 502 no 3, max-retries");
    expect(clock.pending).toBe(0);
  });

  it("does not repeat what is permanent, nor anything where retry is off", async () => {
    const once = setup();
    await expect(once.run(async () => Promise.reject(new AttemptFailure(permanent)))).rejects.toThrow("bad key");
    expect(once.told).toEqual(["given up after 1: bad key, permanent"]);
    const off = setup({}, null);
    await expect(off.run(async () => Promise.reject(new Error("502")))).rejects.toThrow("502");
    expect(off.told).toEqual(["given up after 1: 502, retry-off"]);
  });

  it("goes on where a former owner stopped: the rest of the backoff, the attempts already made", async () => {
    const { clock, begun, told, run } = setup({ attemptsMade: 1, firstDelayMs: 400 });
    const { done } = settling(run(async () => Promise.reject(new Error("502"))));
    await pass(clock, 10_000);
    await done;
    expect(begun).toEqual(["2 at 400", "3 at 2400"]);
    expect(told.at(-1)).toBe("given up after 3: 502, max-retries");
  });

  it("waits for a hook before the backoff begins, and ends with what it throws", async () => {
    const broken = setup({ onAttemptFailed: async () => Promise.reject(new Error("the log is full")) });
    await expect(broken.run(async () => Promise.reject(new Error("502")))).rejects.toThrow("the log is full");
    expect(broken.begun).toHaveLength(1);
  });

  it("waits as long as the provider asked", async () => {
    const { clock, begun, run } = setup();
    const { done } = settling(
      run(async (attempt) => (attempt === 1 ? Promise.reject(new Error("429 (Retry-After: 20)")) : "well")),
    );
    await pass(clock, 30_000);
    expect(await done).toEqual({ value: "well" });
    expect(begun).toEqual(["1 at 0", "2 at 20000"]);
  });
});

describe("row 25, abort", () => {
  it("during the backoff settles at once, without another attempt and without a timer left", async () => {
    const controller = new AbortController();
    const { clock, begun, told, run } = setup({ signal: controller.signal });
    const { done } = settling(run(async () => Promise.reject(new Error("502"))));
    await pass(clock, 200);
    controller.abort("the user's wish");
    const end = await done;
    expect(end).toMatchObject({ error: { name: "AbortError", cause: "the user's wish" } });
    expect("error" in end && end.error instanceof RetryAborted && end.error.lastError).toMatchObject({
      message: "502",
    });
    expect(clock.pending).toBe(0);
    await pass(clock, 10_000);
    expect(begun).toEqual(["1 at 0"]);
    expect(told).toEqual(["failed 1: 502, again in 1000"]);
  });

  it("before the first attempt, no attempt is made", async () => {
    const { begun, run } = setup({ signal: AbortSignal.abort() });
    await expect(run(async () => "well")).rejects.toMatchObject({ name: "AbortError", lastError: null });
    expect(begun).toEqual([]);
  });

  it("during an attempt waits for its end; its error is the answer, and nobody is told of a retry", async () => {
    const controller = new AbortController();
    const { begun, told, run } = setup({ signal: controller.signal });
    let end: (error: Error) => void = () => undefined;
    const { seen, done } = settling(run(() => new Promise((_resolve, reject) => (end = reject))));
    controller.abort();
    await new Promise((resolve) => setImmediate(resolve));
    expect(seen.settled).toBe(false);
    end(new Error("ended by the signal"));
    expect(await done).toMatchObject({ error: { message: "ended by the signal" } });
    expect({ begun, told }).toEqual({ begun: ["1 at 0"], told: [] });
  });

  it("too late, while a finished attempt tells its result, loses no result", async () => {
    const controller = new AbortController();
    const { run } = setup({ signal: controller.signal });
    const result = run(async () => {
      controller.abort();
      return "well";
    });
    expect(await result).toBe("well");
  });
});
