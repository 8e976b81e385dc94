import type { Clock, Files } from "../system/world.ts";
import { keysSince, linesOf } from "./task-keys.ts";
import { TaskLog } from "./task-log.ts";
import { CLOCK_SKEW_MS, RAW_DAYS } from "./task-metrics.ts";
import type { TaskRecord } from "./task-record.ts";
import { recordsIn } from "./task-scan.ts";

const DAY_MS = 86_400_000;

/** What became of a file's records. */
interface ImportedTasks {
  imported: number;
  duplicates: number;
  badLines: number;
  /** Older than what is kept as records. */
  tooOld: number;
  /** Of a time that has not come. */
  future: number;
}

/**
 * Adds the records of another file in this shape. Those that are there already, by run and task, are skipped, so that
 * it may be done again. Rejects with the system's error when the file can't be read or the records not be written.
 */
export async function importTasks(
  world: { files: Files; clock: Clock },
  crewRoot: string,
  path: string,
): Promise<ImportedTasks> {
  const counts: ImportedTasks = { imported: 0, duplicates: 0, badLines: 0, tooOld: 0, future: 0 };
  const log = new TaskLog(world, crewRoot);
  await log.prepare();
  const known = await keysSince(world.files, crewRoot, "");
  const now = world.clock.now();
  const oldest = new Date(now - RAW_DAYS * DAY_MS).toISOString();
  const newest = new Date(now + CLOCK_SKEW_MS).toISOString();
  const fateOf = (record: TaskRecord): keyof ImportedTasks => {
    if (record.run_id === "" || record.task_id === "") return "badLines";
    if (known.has(keyOf(record))) return "duplicates";
    if (record.created_at < oldest) return "tooOld";
    return record.created_at > newest ? "future" : "imported";
  };
  try {
    for await (const line of linesOf(world.files, path)) {
      const { records, bad } = recordsIn(line);
      counts.badLines += bad;
      for (const record of records) {
        const fate = fateOf(record);
        if (fate === "imported") {
          log.append(record);
          known.add(keyOf(record));
        }
        counts[fate]++;
      }
    }
    return counts;
  } finally {
    log.close();
  }
}

function keyOf({ run_id, task_id }: TaskRecord): string {
  return `${run_id}\n${task_id}`;
}
