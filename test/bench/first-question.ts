import { TaskMetrics } from "../../src/store/task-metrics.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { FakeClock } from "../support/fake-clock.ts";

// The first question of a process that knows nothing yet, in milliseconds: first-question.ts <folder> <now>
const [root = "", now = ""] = process.argv.slice(2);
const begun = performance.now();
await new TaskMetrics({ files: nodeFiles(), clock: new FakeClock(Number(now)) }, root).aggregate();
console.log(performance.now() - begun);
