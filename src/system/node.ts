import { randomBytes } from "node:crypto";
import { nodeFiles } from "./node-files.ts";
import { nodeProcesses } from "./node-processes.ts";
import type { Clock, Log, Random, World } from "./world.ts";

/** The real world. Made once per process, by whoever composes it. */
export function nodeWorld(log: Log): World {
  return { clock: nodeClock(), random: nodeRandom(), files: nodeFiles(), processes: nodeProcesses(), log };
}

function nodeClock(): Clock {
  return {
    now: () => Date.now(),
    monotonicMs: () => performance.now(),
    every: (ms, tick) => {
      const timer = setInterval(tick, ms);
      timer.unref();
      return { [Symbol.dispose]: () => clearInterval(timer) };
    },
    after: (ms, fire) => {
      const timer = setTimeout(fire, ms);
      timer.unref();
      return { [Symbol.dispose]: () => clearTimeout(timer) };
    },
    sleep,
  };
}

function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

function nodeRandom(): Random {
  return { next: () => Math.random(), hex: (bytes) => randomBytes(bytes).toString("hex") };
}
