import { join } from "node:path";
import { onTestFinished } from "vitest";
import { startHttpServer } from "../../src/export/http-server.ts";
import { projectRoutes } from "../../src/host/project-routes.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { ask } from "../export/http-asking.ts";
import { tempFolder } from "../store/temp-store.ts";
import { countingFiles } from "../support/counting-files.ts";
import { FakeClock } from "../support/fake-clock.ts";
import { type KeptRun, keepRun } from "./kept-runs.ts";

export const DONE = [{ outcome: "completed" as const, ms: 1000 }];

/** A project served to real sockets; its files are counted. */
export async function served() {
  const cwd = await tempFolder();
  const crewRoot = join(cwd, ".crew");
  const clock = new FakeClock();
  const errors: unknown[] = [];
  const log = { warn: () => undefined, error: (...facts: unknown[]) => void errors.push(facts) };
  const real = { ...nodeWorld(log), clock };
  const counting = countingFiles(real.files);
  const world = { ...real, files: counting.files };
  const startedAt = clock.now();
  const routes = await projectRoutes({
    world,
    cwd,
    agentDir: join(cwd, "agent"),
    session: null,
    startedAt,
    snapshot: null,
  });
  const server = await startHttpServer({ port: 0, routes, clock, log });
  onTestFinished(() => server.close());
  const get = async (path: string, headers = {}) => {
    const { status, body } = await ask(server.port, path, { headers });
    return { status, value: JSON.parse(body) };
  };
  const keep = (runId: string, rest: Partial<KeptRun> = {}) =>
    keepRun(real, crewRoot, { runId, attempts: { a: DONE }, end: "completed", ...rest });
  return { cwd, crewRoot, clock, errors, get, keep, port: server.port, spent: counting.spent };
}

type Served = Awaited<ReturnType<typeof served>>;
export const idsOf = ({ value }: Awaited<ReturnType<Served["get"]>>) => value.runs.map(({ id }: { id: string }) => id);
