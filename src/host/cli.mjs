#!/usr/bin/env node
// Node runs this file as it is; the sources need a loader.
import { createJiti } from "jiti";

const { main } = await createJiti(import.meta.url).import("./cli.ts");
process.exitCode = await main(process.argv.slice(2), process.cwd());
