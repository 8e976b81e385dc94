// A worker that kills itself the moment it writes what is asked for: `tsx killed-step.ts <StepRequest> <pattern> <before|after>`.
import { nodeWorld } from "../../src/system/node.ts";
import type { Files } from "../../src/system/world.ts";
import { runStep } from "../../src/workers/run-step.ts";
import { createShellKind } from "../../src/workers/shell-kind.ts";

const [request = "{}", pattern = "", when = "after"] = process.argv.slice(2);
const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const wanted = new RegExp(pattern);

function die(): never {
  process.kill(process.pid, "SIGKILL");
  for (;;); // the signal is on its way
}

const files: Files = {
  ...world.files,
  openAppend: (path) => {
    const handle = world.files.openAppend(path);
    const write = (data: string | Uint8Array) => {
      const deadly = wanted.test(`${path} ${data}`);
      if (deadly && when === "before") die();
      handle.write(data);
      if (deadly) die();
    };
    return { write, sync: () => handle.sync(), close: () => handle.close() };
  },
  writeAtomic: async (path, data, mode) => {
    const deadly = wanted.test(`${path} `);
    if (deadly && when === "before") die();
    await world.files.writeAtomic(path, data, mode);
    if (deadly) die();
  },
};

const mortal = { ...world, files };
const kinds = { shell: createShellKind(mortal) };
await runStep(mortal, JSON.parse(request), { workerId: `w-${process.pid}`, kinds });
