/**
 * `npm run bench` prints all sections, `npm run bench -- --only tick,append` those named, `--records 10000000` with so
 * many records of tasks (0.5 GB each million, removed afterwards). A missed goal is printed, no
 * more. Each section is measured beside what others do for the same work, in the same run.
 */
import { parseArgs } from "node:util";
import { benchAppend } from "./append-bench.ts";
import { benchLoading } from "./loading-bench.ts";
import { benchPrint, benchPromptText, benchStart } from "./start-bench.ts";
import { benchDetection, benchTick } from "./supervision-bench.ts";
import { benchPool, benchWorkers } from "./worker-bench.ts";

const SECTIONS: Readonly<Record<string, () => unknown>> = {
  start: benchStart,
  loading: benchLoading,
  print: benchPrint,
  prompt: benchPromptText,
  tick: benchTick,
  detection: benchDetection,
  append: benchAppend,
  worker: benchWorkers,
  pool: benchPool,
  metrics: () => import("./metrics.bench.ts"),
  dashboard: () => import("./dashboard-bench.ts").then(({ benchDashboard }) => benchDashboard()),
  "dashboard-in-pi": () => import("./dashboard-host-bench.ts").then(({ benchDashboardInPi }) => benchDashboardInPi()),
  exposition: () => import("./exposition.bench.ts"),
  tasks: () => import("./task-metrics-bench.ts").then(({ benchTaskMetrics }) => benchTaskMetrics(Number(records))),
  otlp: () => import("./otlp-bench.ts").then(({ benchOtlp }) => benchOtlp()),
};

const { only, records } = parseArgs({
  options: { only: { type: "string" }, records: { type: "string", default: "1000000" } },
}).values;
const names = only?.split(",") ?? Object.keys(SECTIONS);
for (const name of names) {
  const section = SECTIONS[name];
  if (!section) throw new Error(`There is no section ${name}; there are ${Object.keys(SECTIONS).join(", ")}.`);
  await section();
  console.log();
}
