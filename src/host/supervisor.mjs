// The process of a background run: `node supervisor.mjs <SupervisorOrder as JSON>`.
import { argv } from "node:process";
import { createJiti } from "jiti";

const { main } = await createJiti(import.meta.url).import("./supervisor.ts");
main(JSON.parse(argv[2]));
