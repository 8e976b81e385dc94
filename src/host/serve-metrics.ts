import type { HttpHandler } from "../export/http-routes.ts";
import { type HttpServer, startHttpServer } from "../export/http-server.ts";
import { metricsRoute } from "../export/metrics-route.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { TaskMetrics } from "../store/task-metrics.ts";
import { UserError } from "../system/errors.ts";
import { packageVersion } from "./package-folder.ts";
import type { Session } from "./session.ts";
import { openTaskMetrics, windowOf } from "./task-history.ts";

/** Serves the session's metrics over HTTP until it ends. Throws a UserError when the port or the host can't be used. */
export async function serveMetrics(
  session: Session,
  registry: MetricRegistry,
  port: number,
  host: string,
): Promise<HttpServer> {
  const { world, id } = session;
  const version = await packageVersion(world.files);
  const tasks = await openTaskMetrics(world, session.cwd, session.agentDir);
  const health = async () => {
    const kept = await tasks.health();
    const upSeconds = Math.round((world.clock.now() - session.startedAt) / 1000);
    const body = JSON.stringify({ status: "ok", version, session: id, upSeconds, tasks: kept });
    return { status: 200, type: "application/json", body: `${body}\n` };
  };
  const routes = {
    "/metrics": metricsRoute(() => registry.snapshot()),
    "/api/agent/metrics": taskRoute(tasks),
    "/healthz": health,
  };
  return startHttpServer({ port, host, routes, clock: world.clock, log: world.log });
}

/** Over the tasks that were kept: `?window=24h`, seven days unless given, and `?project=` for one of several. */
function taskRoute(tasks: TaskMetrics): HttpHandler {
  return async ({ query }) => {
    try {
      const answer = await tasks.aggregate({ windowMs: windowOf(query.get("window")), project: query.get("project") });
      return { status: 200, type: "application/json", body: `${JSON.stringify(answer)}\n` };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      return { status: 400, type: "text/plain; charset=utf-8", body: `${error.message}\n` };
    }
  };
}
