import type {
  AgentDefinition,
  Catalog,
  DefinitionProblem,
  Source,
  StepDefinition,
  TeamDefinition,
  WorkflowDefinition,
} from "../runs/definitions.ts";
import type { RunManifest, TaskAgent, TaskSpec } from "../runs/manifest.ts";
import type { RunConfig } from "../runs/run-config.ts";
import { UserError } from "../system/errors.ts";

export interface RunRequest {
  team: string;
  /** Null takes the team's default. */
  workflow: string | null;
  goal: string;
  /** Driven by a process of its own, so that it goes on when Pi exits. */
  background: boolean;
}

export interface RunCircumstances {
  runId: string;
  /** ISO 8601, UTC. */
  createdAt: string;
  sessionId: string;
  cwd: string;
  /** The session's model as `provider/id`; null when none is chosen. */
  model: string | null;
  thinking: string | null;
  config: RunConfig;
}

const FAULTS_SHOWN_MAX = 5;
const ASKED_CHARS_MAX = 100_000;

/** Turns definitions into what one run needs. Throws a UserError that names what does not fit and what to do. */
export function buildManifest(catalog: Catalog, request: RunRequest, now: RunCircumstances): RunManifest {
  const team = named(catalog, "team", catalog.teams, request.team);
  const workflow = named(catalog, "workflow", catalog.workflows, request.workflow ?? team.defaultWorkflow);
  const goal = request.goal.trim();
  if (goal === "")
    throw new UserError("no-goal", `Say what team ${team.name} should do: /team-run ${team.name} "<goal>".`);
  requireShort("goal", goal);
  const used = new Map<string, Source>([
    [`team:${team.name}`, team.source],
    [`workflow:${workflow.name}`, workflow.source],
  ]);
  const tasks = workflow.steps.map((step) => taskOf(catalog, team, workflow, step, now, used));
  return {
    schemaVersion: 1,
    runId: now.runId,
    createdAt: now.createdAt,
    goal,
    team: team.name,
    workflow: workflow.name,
    background: request.background,
    sessionId: now.sessionId,
    resumedFrom: null,
    cwd: now.cwd,
    // the commit is looked up when the run is started
    worktrees: team.worktree ? { baseCommit: "" } : null,
    maxConcurrency: team.maxConcurrency,
    config: now.config,
    tasks,
    kept: {},
    definitionHashes: Object.fromEntries([...used].map(([name, source]) => [name, source.contentHash])),
  };
}

/** Throws a UserError for what a user asked for at such length that it would not be kept. */
export function requireShort(what: "goal" | "prompt", text: string): void {
  if (text.length <= ASKED_CHARS_MAX) return;
  throw new UserError(
    `${what}-too-long`,
    `The ${what} has ${text.length} characters; at most ${ASKED_CHARS_MAX} are kept. Put the details into a file and name it. Nothing was begun.`,
  );
}

function named<T>(catalog: Catalog, kind: string, all: ReadonlyMap<string, T>, name: string): T {
  const found = all.get(name);
  if (found) return found;
  // what names the missing thing says most about it
  const about = (problem: DefinitionProblem) => Number(`${problem.file} ${problem.message}`.includes(name));
  const faults = catalog.problems
    .filter((problem) => problem.severity === "error")
    .toSorted((a, b) => about(b) - about(a))
    .slice(0, FAULTS_SHOWN_MAX)
    .map((problem) => `\n${problem.file}:${problem.line}: ${problem.message}`);
  const why = faults.length > 0 ? `\nThese definitions could not be used:${faults.join("")}` : "";
  throw new UserError(
    `unknown-${kind}`,
    `There is no ${kind} called ${JSON.stringify(name.slice(0, 80))}. Known: ${[...all.keys()].sort().join(", ")}.${why}`,
  );
}

function taskOf(
  catalog: Catalog,
  team: TeamDefinition,
  workflow: WorkflowDefinition,
  step: StepDefinition,
  now: RunCircumstances,
  used: Map<string, Source>,
): TaskSpec {
  const where = `step ${step.id} of workflow ${workflow.name} (${workflow.source.file})`;
  requireBranches(team, step, where);
  const agent = assignedAgent(catalog, team, step, where, now, used);
  const { role, taskType, kind, task, command, dependsOn, optional, timeoutSec, retry, reads, output, verify } = step;
  return {
    taskId: step.id,
    role,
    taskType,
    kind,
    task,
    command,
    dependsOn,
    optional,
    timeoutSec,
    retry,
    reads,
    output,
    verify,
    agent,
  };
}

/** Null for a step without a model. */
function assignedAgent(
  catalog: Catalog,
  team: TeamDefinition,
  step: StepDefinition,
  where: string,
  now: RunCircumstances,
  used: Map<string, Source>,
): TaskAgent | null {
  if (step.kind !== "pi" && step.kind !== "codex") return null;
  if (step.kind === "codex" && step.role === "") return codexAgent;
  const { agent, model } = agentOf(catalog, team, step, where);
  used.set(`agent:${agent.name}`, agent.source);
  // the session's model is Pi's; codex has its own
  return taskAgent(agent, model, step.kind === "codex" ? { ...now, model: "codex/default", thinking: null } : now);
}

/** Of a step that names no role. */
const codexAgent: TaskAgent = {
  ...{ name: "codex", prompt: "", models: [], thinking: null, tools: null },
  ...{ disallowedTools: [], skills: null, maxTurns: null },
};

/** A command with a branch in it would run with the braces. */
function requireBranches(team: TeamDefinition, step: StepDefinition, where: string): void {
  if (team.worktree || !/\{branches\./.test(`${step.command} ${step.verify}`)) return;
  throw new UserError(
    "no-branches",
    `${where} names a branch of another step, but team ${team.name} (${team.source.file}) makes none: set worktree: true there.`,
  );
}

function agentOf(catalog: Catalog, team: TeamDefinition, step: StepDefinition, where: string) {
  const role = team.roles.find((candidate) => candidate.role === step.role);
  if (!role)
    throw new UserError(
      "unknown-role",
      `${where} needs role ${JSON.stringify(step.role)}, but team ${team.name} (${team.source.file}) has ${team.roles.map((it) => it.role).join(", ")}. Add the role to the team or name another.`,
    );
  const agent = catalog.agents.get(role.agent);
  if (!agent)
    throw new UserError(
      "unknown-agent",
      `Role ${role.role} of team ${team.name} (${team.source.file}) names agent ${JSON.stringify(role.agent)}, which is not there. Known: ${[...catalog.agents.keys()].sort().join(", ")}.`,
    );
  return { agent, model: role.model };
}

function taskAgent(agent: AgentDefinition, roleModel: string | null, now: RunCircumstances): TaskAgent {
  const chosen = roleModel ?? agent.model ?? now.model;
  if (chosen === null)
    throw new UserError(
      "no-model",
      `No model is configured for agent ${agent.name}. Choose one with /model (or log in with /login, or set a provider's API key), or give the agent a model in ${agent.source.file}.`,
    );
  return {
    name: agent.name,
    prompt: agent.prompt,
    models: [...new Set([chosen, ...agent.fallbackModels])],
    thinking: agent.thinking ?? now.thinking,
    tools: agent.tools,
    disallowedTools: agent.disallowedTools,
    skills: agent.skills,
    maxTurns: agent.maxTurns,
  };
}
