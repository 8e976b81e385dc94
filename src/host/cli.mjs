#!/usr/bin/env node
// Node runs this file as it is; the rest of the package is TypeScript and needs a loader.
import { createJiti } from "jiti";

const { main } = await createJiti(import.meta.url).import("./cli.ts");
process.exitCode = await main(process.argv.slice(2), process.cwd());
