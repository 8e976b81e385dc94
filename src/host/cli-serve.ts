import { reachNote } from "../export/http-guard.ts";
import { startHttpServer } from "../export/http-server.ts";
import { nodeWorld } from "../system/node.ts";
import { agentFolder } from "./config.ts";
import { loadConfig } from "./load-config.ts";
import { projectRoutes } from "./project-routes.ts";
import { portOf, refuseStray, splitWords } from "./words.ts";

type Print = (lines: readonly string[], stream?: 1 | 2) => void;

/** Serves the project of a folder until Ctrl-C. Throws a UserError when it can't. */
export async function serve(cwd: string, words: string, print: Print): Promise<void> {
  const { words: stray, options } = splitWords(words, ["port", "host"]);
  refuseStray(stray, "Use: pi-foreman serve [--port 9091] [--host localhost].");
  const agentDir = agentFolder();
  const log = (message: string, facts = {}) => print([`${message} ${JSON.stringify(facts)}`], 2);
  const world = nodeWorld({ warn: log, error: log });
  const { config } = await loadConfig(world.files, agentDir, cwd);
  const port = portOf(options.get("port")) ?? config.http.port;
  const host = options.get("host") ?? "localhost";
  const startedAt = world.clock.now();
  const routes = await projectRoutes({ world, cwd, agentDir, session: null, startedAt, snapshot: null });
  const stopped = askedToStop();
  const server = await startHttpServer({ port, host, routes, clock: world.clock, log: world.log, keepAlive: true });
  const note = reachNote(host);
  if (note.length > 0) print(note, 2);
  print([`${server.url} shows the runs of ${cwd}; ${server.url}metrics is for Prometheus. Ctrl-C ends it.`]);
  await stopped;
  await server.close();
}

function askedToStop(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
}
