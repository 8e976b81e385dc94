// Starts a worker host: `node start.mjs <main file of the host's SDK> <WrapperOptions as JSON>`.
// The SDK is imported by Node itself: through jiti it would be transpiled, and its instances would not be the host's own.
import { argv, env } from "node:process";
import { pathToFileURL } from "node:url";
import { createJiti } from "jiti";

const [hostEntry, json] = argv.slice(2);
const options = JSON.parse(json);
let host = null;
const loadHost = () => {
  host ??= import(pathToFileURL(hostEntry).href);
  return host;
};
if (options.warm) loadHost().catch(() => undefined); // told to the first attempt
const { main } = await createJiti(import.meta.url).import("./wrapper-main.ts");
main({ hostEntry, options, env, loadHost });
