import { type HttpServer, startHttpServer } from "../export/http-server.ts";
import { metricsRoute } from "../export/metrics-route.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import { packageVersion } from "./package-folder.ts";
import type { Session } from "./session.ts";

/** Serves the session's metrics over HTTP until it ends. Throws a UserError when the port or the host can't be used. */
export async function serveMetrics(
  session: Session,
  registry: MetricRegistry,
  port: number,
  host: string,
): Promise<HttpServer> {
  const { world, id } = session;
  const version = await packageVersion(world.files);
  const health = () => {
    const upSeconds = Math.round((world.clock.now() - session.startedAt) / 1000);
    const body = JSON.stringify({ status: "ok", version, session: id, upSeconds });
    return { status: 200, type: "application/json", body: `${body}\n` };
  };
  const routes = { "/metrics": metricsRoute(() => registry.snapshot()), "/healthz": health };
  return startHttpServer({ port, host, routes, clock: world.clock, log: world.log });
}
