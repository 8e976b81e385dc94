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
  attemptTimeoutSec: number;
}

const FAULTS_SHOWN_MAX = 5;
const GOAL_CHARS_MAX = 100_000;

/** Turns definitions into what one run needs. Throws a UserError that names what does not fit and what to do. */
export function buildManifest(catalog: Catalog, request: RunRequest, now: RunCircumstances): RunManifest {
  const team = named(catalog, "team", catalog.teams, request.team);
  const workflow = named(catalog, "workflow", catalog.workflows, request.workflow ?? team.defaultWorkflow);
  if (team.worktree)
    throw new UserError(
      "unsupported-team",
      `Team ${team.name} (${team.source.file}) wants a git worktree for each task, which this version can't make. Remove worktree from the team: its tasks then work in the project's folder.`,
    );
  const goal = request.goal.trim();
  if (goal === "")
    throw new UserError("no-goal", `Say what team ${team.name} should do: /team-run ${team.name} "<goal>".`);
  if (goal.length > GOAL_CHARS_MAX)
    throw new UserError(
      "goal-too-long",
      `The goal has ${goal.length} characters; at most ${GOAL_CHARS_MAX} are kept. Put the details into a file and name it.`,
    );
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
    maxConcurrency: team.maxConcurrency,
    tasks,
    kept: {},
    definitionHashes: Object.fromEntries([...used].map(([name, source]) => [name, source.contentHash])),
  };
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
  refuseUnsupported(step, where);
  const { agent, model } = agentOf(catalog, team, step, where);
  used.set(`agent:${agent.name}`, agent.source);
  const { role, taskType, kind, task, command, dependsOn, optional, retry, reads, output, verify } = step;
  return {
    taskId: step.id,
    role,
    taskType,
    kind,
    task,
    command,
    dependsOn,
    optional,
    timeoutSec: step.timeoutSec ?? now.attemptTimeoutSec,
    retry,
    reads,
    output,
    verify,
    agent: taskAgent(agent, model, now),
  };
}

/** What is read and checked, but not done: a run that left it out would only seem to be what was written. */
function refuseUnsupported(step: StepDefinition, where: string): void {
  const refuse = (what: string, remedy: string): never => {
    throw new UserError("unsupported-step", `${where} ${what}, which this version can't run. ${remedy}`);
  };
  if (step.kind !== "pi") refuse(`is of kind ${step.kind}`, "Make it a step of kind pi.");
  if (step.verify !== "") refuse("has a verify command", "Let the step's task, or a step after it, run the command.");
  if (step.output.length > 0 || step.reads.length > 0)
    refuse(
      "hands over files (output, reads)",
      "Let the step answer with the text and use {outputs.<step>} in the next task.",
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
