import { benchPrint, benchPromptText, benchStart } from "./start-bench.ts";

benchStart();
console.log();
benchPrint();
console.log();
benchPromptText();
console.log();
await import("./metrics.bench.ts");
