import { join } from "node:path";
import type { Files } from "../system/world.ts";
import { recordsIn } from "./task-scan.ts";

const CHUNK_BYTES = 1024 * 1024;
const DAY_FILE = /^\d{4}-\d\d-\d\d\.jsonl$/;

/** Each whole line of a file, the last one too when it lacks its line feed; empty when there is no file. */
export async function* linesOf(files: Files, path: string): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  for (let offset = 0; ; ) {
    const chunk = await files.readRange(path, offset, CHUNK_BYTES);
    if (chunk === null || chunk.byteLength === 0) break;
    offset += chunk.byteLength;
    const bytes = Buffer.concat([rest, chunk]);
    let start = 0;
    for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, start)) {
      yield bytes.toString("utf8", start, end);
      start = end + 1;
    }
    rest = bytes.subarray(start);
  }
  if (rest.length > 0) yield rest.toString();
}

/** `<run>\n<task>` of the records kept since a day, all or those of one run. */
export async function keysSince(files: Files, crewRoot: string, date: string, runId?: string): Promise<Set<string>> {
  const keys = new Set<string>();
  const metrics = join(crewRoot, "metrics");
  const days = (await files.list(join(metrics, "tasks"))).filter((name) => DAY_FILE.test(name));
  const since = days.filter((name) => name.slice(0, 10) >= date).map((name) => join(metrics, "tasks", name));
  for (const path of [...since, join(metrics, "tasks.jsonl")])
    for await (const line of linesOf(files, path)) {
      if (runId !== undefined && !line.includes(runId)) continue;
      for (const { run_id, task_id } of recordsIn(line).records) keys.add(`${run_id}\n${task_id}`);
    }
  return keys;
}
