import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodeTaskRecord, roomForLine } from "../../src/store/task-line.ts";
import { dice, variedRecord } from "../store/sample-tasks.ts";

// Records of tasks that ended evenly from one moment to another, one file a day:
// plant-task-records.ts <folder> <from> <to> <count>
const [root = "", ...numbers] = process.argv.slice(2);
const [from = 0, to = 0, count = 0] = numbers.map(Number);
const folder = join(root, "metrics", "tasks");
mkdirSync(folder, { recursive: true });
const random = dice(1);
const room = roomForLine();
let [date, lines] = ["", [] as string[]];
const flush = () => date !== "" && writeFileSync(join(folder, `${date}.jsonl`), lines.join(""));
for (let i = 0; i < count; i++) {
  const record = variedRecord(i, Math.floor(from + (i / count) * (to - from)), random);
  const day = record.created_at.slice(0, 10);
  if (day !== date) {
    flush();
    [date, lines] = [day, []];
  }
  lines.push(String(encodeTaskRecord(record, room)));
}
flush();
