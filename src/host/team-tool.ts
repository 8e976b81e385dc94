import type { AgentToolResult, ExtensionAPI, ExtensionContext, ToolDefinition } from "@mariozechner/pi-coding-agent";
import { type Static, Type } from "@sinclair/typebox";
import { UserError } from "../system/errors.ts";
import { renderRun, renderRunList } from "../views/run-summary.ts";
import { followRun } from "./follow-run.ts";
import { endNote, outputsOf, pictureOf } from "./run-report.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";
import { startRun } from "./start-run.ts";

const TEXT_COLUMNS = 110;
const LISTED_RUNS_MAX = 20;

type Action = "run" | "status" | "wait" | "cancel" | "list";

const PARAMETERS = Type.Object({
  action: Type.Unsafe<Action>({
    type: "string",
    enum: ["run", "status", "wait", "cancel", "list"],
    description: "run: start a team and wait for its end; list: teams and past runs",
  }),
  team: Type.Optional(Type.String({ description: "run: team name, e.g. fast-fix, implementation, review, research" })),
  workflow: Type.Optional(Type.String({ description: "run: another workflow than the team's default" })),
  goal: Type.Optional(
    Type.String({ description: "run: what is to be achieved, with files, constraints and how to check" }),
  ),
  runId: Type.Optional(
    Type.String({ description: 'status, wait, cancel: a run id, a unique end of one, or "latest"' }),
  ),
});

type Parameters = Omit<Static<typeof PARAMETERS>, "action"> & { action: Action };
type Details = { runId?: string; status?: string; tokens?: number; costUsd?: number };
type Result = AgentToolResult<Details>;

const DESCRIPTION =
  "Run a team of agents on a goal as a durable run. Each agent works in its own process with its own context and can " +
  "edit the project. Use it for work worth several agents (fix + verify + review, parallel research, a feature with " +
  "plan and tests); do small things yourself. The result holds the agents' reports: check them before you rely on them.";

/** Registers the tool; under another name when one of ours is taken. */
export function registerTeamTool(pi: ExtensionAPI, ctx: ExtensionContext, session: () => Session | null): void {
  const taken = pi.getAllTools().some((tool) => tool.name === "team" && !isOurs(tool));
  const name = taken ? "foreman_team" : "team";
  if (taken && ctx.hasUI)
    ctx.ui.notify('Another extension has a tool called "team"; pi-foreman\'s is called "foreman_team".', "warning");
  const tool: ToolDefinition<typeof PARAMETERS, Details> = {
    name,
    label: "Team",
    description: DESCRIPTION,
    promptSnippet: "Run a team of agents on a goal (fix, implement, review, research) as a durable run",
    parameters: PARAMETERS,
    async execute(_id, params, signal, onUpdate) {
      const open = session();
      if (!open) throw new UserError("no-session", "The session is not open yet; try again.");
      return act(pi, open, params as Parameters, signal, (text) =>
        onUpdate?.({ content: [{ type: "text", text }], details: {} }),
      );
    },
  };
  pi.registerTool(tool);
}

/** The host lists a tool with the description it was registered with. */
function isOurs(tool: { description?: string }): boolean {
  return tool.description === DESCRIPTION;
}

async function act(
  pi: ExtensionAPI,
  session: Session,
  params: Parameters,
  signal: AbortSignal | undefined,
  update: (text: string) => void,
): Promise<Result> {
  switch (params.action) {
    case "run": {
      if (!params.team) throw new UserError("no-team", 'Name a team: {"action":"run","team":"fast-fix","goal":"…"}.');
      const request = { team: params.team, workflow: params.workflow ?? null, goal: params.goal ?? "" };
      return waitFor(session, await startRun(pi, session, request), signal, update, "cancel");
    }
    case "status":
      return status(session, await find(session, params.runId));
    case "wait": {
      const runId = await find(session, params.runId);
      const active = (await session.runs()).active.find(({ run }) => run.manifest.runId === runId);
      return active ? waitFor(session, active, signal, update, "leave") : status(session, runId);
    }
    case "cancel": {
      const runId = await find(session, params.runId);
      await (await session.runs()).cancel(runId, "cancelled by the team tool");
      return status(session, runId);
    }
    case "list":
      return list(session);
  }
}

async function find(session: Session, text: string | undefined): Promise<string> {
  return (await session.runs()).store.find(text ?? "latest");
}

/** Follows a run to its end. `onAbort`: the run started by this call ends with it; one merely waited for goes on. */
async function waitFor(
  session: Session,
  active: ActiveRun,
  signal: AbortSignal | undefined,
  update: (text: string) => void,
  onAbort: "cancel" | "leave",
): Promise<Result> {
  const { runId } = active.run.manifest;
  const draw = () => {
    const view = { manifest: active.run.manifest, state: active.run.state, degraded: false, folder: active.run.folder };
    update(renderRun(view, session.world.clock.now(), TEXT_COLUMNS).join("\n"));
  };
  const aborted = new Promise<void>((resolve) => {
    const abort = () => {
      // the host aborts what runs when the session is replaced, too: then the run is handed over, not cancelled
      if (session.closed) resolve();
      else if (onAbort === "cancel") active.loop.cancel("cancelled by the user");
      else resolve();
    };
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
  });
  using _following = followRun(session, runId, draw);
  draw();
  const end = await Promise.race([active.done, aborted]);
  return status(session, runId, end ? endNote(end) : ["Still running; this call no longer waits for it."]);
}

async function status(session: Session, runId: string, notes: string[] = []): Promise<Result> {
  const view = await (await session.runs()).view(runId);
  const picture = pictureOf(view, session.cwd);
  const lines = [...renderRun(picture, session.world.clock.now(), TEXT_COLUMNS), ...notes, ...outputsOf(view)];
  const { status, tokens, costUsd } = view.state;
  return { content: [{ type: "text", text: lines.join("\n") }], details: { runId, status, tokens, costUsd } };
}

async function list(session: Session): Promise<Result> {
  const [runs, catalog] = await Promise.all([session.runs(), session.catalog()]);
  const teams = [...catalog.teams.values()].map((team) => `${team.name}: ${team.description}`);
  const views = await runs.views(LISTED_RUNS_MAX);
  const pictures = views.map((view) => pictureOf(view, session.cwd));
  const lines = ["Teams:", ...teams, "", "Runs:", ...renderRunList(pictures, session.world.clock.now(), TEXT_COLUMNS)];
  return { content: [{ type: "text", text: lines.join("\n") }], details: {} };
}
