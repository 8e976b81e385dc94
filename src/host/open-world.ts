import { join } from "node:path";
import type { Correlation } from "../events/correlation.ts";
import { createFileLog } from "../system/file-log.ts";
import { nodeWorld } from "../system/node.ts";
import { nodeFiles } from "../system/node-files.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";

/** The real world, with a log in the agent folder whose lines say in which run, task and attempt they were written. */
export function openWorld(
  agentDir: string,
  correlation: Correlation,
  redactor: () => Promise<Redactor>,
): World & { close(): Promise<void> } {
  const path = join(agentDir, "crew", "log", "foreman.jsonl");
  const clock = { now: () => world.clock.now() };
  const log = createFileLog({
    files: nodeFiles(),
    clock,
    path,
    redactor,
    context: () => correlation.getCurrentContext(),
  });
  const world = nodeWorld(log);
  return { ...world, close: () => log.close() };
}
