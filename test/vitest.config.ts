import { defineConfig } from "vitest/config";
import { HeavyFirst } from "./support/heavy-first.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    root: new URL("..", import.meta.url).pathname,
    testTimeout: 120_000,
    hookTimeout: 60_000,
    // most tests start real Pi processes and the machines are small, but a quarter of the time is waiting
    maxWorkers: 3,
    sequence: { sequencer: HeavyFirst },
    // a shared machine may stop a process for longer than any deadline; what fails twice has failed
    retry: process.env["CI"] ? 1 : 0,
    reporters: ["default"],
  },
});
