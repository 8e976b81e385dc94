// A process that owns attempts, to be killed: `tsx owner.ts <LocalEngineOptions without world> <AttemptOrder> <workerId> [leave]`.
import { createLocalEngine } from "../../src/engines/local.ts";
import { nodeWorld } from "../../src/system/node.ts";

const [options = "{}", order = "{}", workerId = "w", ending = "dispose"] = process.argv.slice(2);
const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const engine = createLocalEngine({ ...JSON.parse(options), world });
const hooks = {
  spawned: (worker: unknown) => console.log(JSON.stringify(worker)),
  progress: () => undefined,
  used: () => undefined,
  checkpoint: () => undefined,
};
const report = await engine.execute(JSON.parse(order), workerId, hooks, new AbortController().signal);
console.log(JSON.stringify(report));
if (ending === "leave") engine.prepare(2);
else await engine.dispose();
