import type { ExtensionAPI, ExtensionContext, ToolDefinition } from "@mariozechner/pi-coding-agent";
import { type Static, Type } from "@sinclair/typebox";
import { UserError } from "../system/errors.ts";
import type { Session } from "./session.ts";

const ACTIONS = [
  "run",
  "status",
  "wait",
  "cancel",
  "resume",
  "list",
  "deadletters",
  "redrive",
  "message",
  "metrics",
  "export",
] as const;
type Action = (typeof ACTIONS)[number];

const PARAMETERS = Type.Object({
  action: Type.Unsafe<Action>({
    type: "string",
    enum: [...ACTIONS],
    description:
      "run: start a team and wait for its end; list: teams and past runs; resume: finish a failed or cancelled run, " +
      "keeping completed tasks; redrive: run a dead letter's task again; message: tell a running task's worker something; " +
      "metrics: what this session and its runs took; export: write a run's diagnostic files",
  }),
  team: Type.Optional(Type.String({ description: "run: team name, e.g. fast-fix, implementation, review, research" })),
  workflow: Type.Optional(Type.String({ description: "run: another workflow than the team's default" })),
  goal: Type.Optional(
    Type.String({ description: "run: what is to be achieved, with files, constraints and how to check" }),
  ),
  background: Type.Optional(Type.Boolean({ description: "run: return at once; you are told when it ends" })),
  runId: Type.Optional(
    Type.String({
      description: 'status, wait, cancel, resume, message, export: a run id, a unique end of one, or "latest"',
    }),
  ),
  taskId: Type.Optional(Type.String({ description: "message: whose worker" })),
  text: Type.Optional(Type.String({ description: "message: what it is told" })),
  glob: Type.Optional(Type.String({ description: "metrics: which, e.g. crew.task.*" })),
  deadLetterId: Type.Optional(Type.String({ description: "redrive: an id from deadletters" })),
  model: Type.Optional(Type.String({ description: "redrive: provider/id instead of the agent's" })),
  prompt: Type.Optional(Type.String({ description: "redrive: instead of the task's text" })),
});

export type TeamCall = Omit<Static<typeof PARAMETERS>, "action"> & { action: Action };
export type TeamDetails = { runId?: string; status?: string; tokens?: number; costUsd?: number };

const SNIPPET = "Run a team of agents on a goal (fix, implement, review, research) as a durable run";
const DESCRIPTION =
  "Run a team of agents on a goal as a durable run. Each agent works in its own process with its own context and can " +
  "edit the project. Use it for work worth several agents (fix + verify + review, parallel research, a feature with " +
  "plan and tests); do small things yourself. The result holds the agents' reports: check them before you rely on them.";

/** All that the host sends to the model about the tool, in every prompt. */
export const TOOL_TEXT = `team ${SNIPPET} ${DESCRIPTION} ${JSON.stringify(PARAMETERS)}`;

/** Registers the tool; under another name when one of ours is taken. */
export function registerTeamTool(pi: ExtensionAPI, ctx: ExtensionContext, session: () => Session | null): void {
  const taken = pi.getAllTools().some((tool) => tool.name === "team" && !isOurs(tool));
  const name = taken ? "foreman_team" : "team";
  if (taken && ctx.hasUI)
    ctx.ui.notify('Another extension has a tool called "team"; pi-foreman\'s is called "foreman_team".', "warning");
  const tool: ToolDefinition<typeof PARAMETERS, TeamDetails> = {
    name,
    label: "Team",
    description: DESCRIPTION,
    promptSnippet: SNIPPET,
    parameters: PARAMETERS,
    async execute(_id, params, signal, onUpdate) {
      const open = session();
      if (!open) throw new UserError("no-session", "The session is not open yet; try again.");
      const { actOnTeam } = await open.late();
      return actOnTeam(open, params as TeamCall, signal, (text) =>
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
