import { defineConfig } from "vitest/config";

// two workers: most tests start real Pi processes, and the machines are small
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    root: new URL("..", import.meta.url).pathname,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
    // a shared machine may stop a process for longer than any deadline; what fails twice has failed
    retry: process.env["CI"] ? 1 : 0,
    reporters: ["default"],
  },
});
