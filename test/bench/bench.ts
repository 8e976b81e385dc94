import { benchPromptText, benchStart } from "./start-bench.ts";

benchStart();
console.log();
benchPromptText();
console.log();
await import("./metrics.bench.ts");
