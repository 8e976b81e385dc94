import { type HttpServer, startHttpServer } from "../export/http-server.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import { projectRoutes } from "./project-routes.ts";
import type { Session } from "./session.ts";

/** Serves the session's metrics and its project's runs until it ends. Throws a UserError when it can't listen there. */
export async function serveMetrics(
  session: Session,
  registry: MetricRegistry,
  port: number,
  host: string,
): Promise<HttpServer> {
  const { world, cwd, agentDir, startedAt } = session;
  const snapshot = () => registry.snapshot();
  const routes = await projectRoutes({ world, cwd, agentDir, session: session.id, startedAt, snapshot });
  return startHttpServer({ port, host, routes, clock: world.clock, log: world.log });
}
