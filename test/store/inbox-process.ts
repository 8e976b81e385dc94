// Another process at a run's inbox: `tsx inbox-process.ts post <runFolder> <count> <tag>` asks, one request after another;
// `… own <runFolder> <appliedFile>` is an owner that dies between handling a request and deleting its file.
import { appendFileSync } from "node:fs";
import { Inbox, postRequest } from "../../src/store/inbox.ts";
import { nodeWorld } from "../../src/system/node.ts";

const [mode = "", runFolder = "", third = "", tag = ""] = process.argv.slice(2);
const world = nodeWorld({ warn: () => undefined, error: () => undefined });

if (mode === "post")
  for (let at = 0; at < Number(third); at++)
    await postRequest(world, runFolder, { kind: "cancel", reason: `${tag} ${at}` }, `session-${tag}`);
else
  await new Inbox({
    ...world,
    runFolder,
    handle: async ({ id }) => appendFileSync(third, `${id}\n`),
    files: {
      ...world.files,
      remove: async () => void process.kill(process.pid, "SIGKILL"),
    },
  }).take();
