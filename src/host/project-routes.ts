import { basename, sep } from "node:path";
import type { HttpHandler, HttpRequest, Routes } from "../export/http-routes.ts";
import { type HttpServer, startHttpServer } from "../export/http-server.ts";
import { metricsRoute } from "../export/metrics-route.ts";
import { pageRoute } from "../export/page-route.ts";
import type { MetricRegistry } from "../metrics/registry.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { keptRoot } from "../store/layout.ts";
import { codeOf, UserError } from "../system/errors.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import type { World } from "../system/world.ts";
import { ENV } from "./config.ts";
import { historyMetrics } from "./history-metrics.ts";
import { packageVersion } from "./package-folder.ts";
import { RunAnswers } from "./run-answers.ts";
import { said } from "./run-json.ts";
import type { Session } from "./session.ts";
import { scoreboardKeys, windowOf } from "./task-history.ts";

const NOT_FOUND = new Set(["unknown-run"]);
/** Nothing the asker could ask otherwise. */
const DAMAGED = new Set(["bad-manifest", "planted"]);

interface Served {
  world: World;
  cwd: string;
  agentDir: string;
  /** Null where there is none. */
  session: string | null;
  startedAt: number;
  /** Of the session's metrics; null serves what is kept. */
  snapshot: (() => MetricsSnapshot) | null;
}

/** All that is served of one project, with a session or without. */
export async function projectRoutes({ world, cwd, agentDir, session, startedAt, snapshot }: Served): Promise<Routes> {
  const redact = (await openRedactor({ files: world.files, env: ENV, agentDir })).text;
  const version = await packageVersion(world.files);
  let known: { crewRoot: string; answers: RunAnswers } | null = null;
  // looked for each time: the first run of a project makes its folder
  const answers = async () => {
    const crewRoot = await keptRoot(world.files, cwd, agentDir);
    if (known?.crewRoot !== crewRoot) known = { crewRoot, answers: new RunAnswers(world, crewRoot, redact) };
    return known.answers;
  };
  // whoever asks need not know where on this machine all that lies
  const shown = (text: string) =>
    redact(text)
      .replaceAll(cwd + sep, "")
      .replaceAll(agentDir + sep, "");
  const json = (answer: (kept: RunAnswers, request: HttpRequest) => Promise<unknown>) =>
    jsonRoute(async (request) => {
      refuseTwice(request.query);
      return answer(await answers(), request);
    }, shown);
  const asked = ({ query }: HttpRequest) => {
    return { windowMs: windowOf(query.get("window")), project: query.get("project") };
  };
  return {
    "/": pageRoute(world.files),
    "/metrics": metricsRoute(snapshot ?? historyMetrics(answers)),
    "/api/agent/metrics": json((kept, request) => kept.tasks.aggregate(asked(request))),
    "/api/agent/scoreboard": json(async (kept, request) => {
      const by = scoreboardKeys(request.query.get("by") ?? "model");
      return {
        rows: await kept.tasks.scoreboard({ ...asked(request), by }),
        regressions: await kept.regressions(),
      };
    }),
    "/api/runs": json((kept, { query }) => kept.list(query)),
    "/api/runs/:id": json((kept, { params }) => kept.one(params["id"] ?? "")),
    "/api/deadletters": json((kept, { query }) => kept.deadLetters(query)),
    "/healthz": json(async (kept) => {
      const upSeconds = Math.round((world.clock.now() - startedAt) / 1000);
      const [tasks, runs] = [await kept.tasks.health(), { unreadable: await kept.unreadable() }];
      return { status: "ok", version, project: basename(cwd), session, upSeconds, tasks, runs };
    }),
  };
}

/** Serves the session's metrics and its project's runs until it ends. Throws a UserError when it can't listen there. */
export async function serveMetrics(
  { world, cwd, agentDir, startedAt, id: session }: Session,
  registry: MetricRegistry,
  port: number,
  host: string,
): Promise<HttpServer> {
  const snapshot = () => registry.snapshot();
  const routes = await projectRoutes({ world, cwd, agentDir, session, startedAt, snapshot });
  return startHttpServer({ port, host, routes, clock: world.clock, log: world.log });
}

function refuseTwice(query: URLSearchParams): void {
  for (const name of query.keys())
    if (query.getAll(name).length > 1)
      throw new UserError("twice", `${JSON.stringify(name.slice(0, 40))} is given more than once: give it once.`);
}

/** What can't be answered is `{"error": "…"}`, a sentence. */
function jsonRoute(answer: (request: HttpRequest) => Promise<unknown>, redact: (text: string) => string): HttpHandler {
  const reply = (status: number, value: unknown) => {
    return { status, type: "application/json", body: `${JSON.stringify(value)}\n` };
  };
  return async (request) => {
    try {
      return reply(200, await answer(request));
    } catch (error) {
      const { status, sentence } = failureOf(error);
      return reply(status, { error: said(sentence, redact) });
    }
  };
}

/** Throws what is nothing the asker or the system did. */
function failureOf(error: unknown): { status: number; sentence: string } {
  const code = codeOf(error);
  if (error instanceof UserError)
    return { status: NOT_FOUND.has(code) ? 404 : DAMAGED.has(code) ? 500 : 400, sentence: error.message };
  if (code === "") throw error;
  return { status: 500, sentence: `This can't be read (${code}); /healthz tells what can't.` };
}
