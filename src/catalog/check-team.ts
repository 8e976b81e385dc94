import type { TeamDefinition, WorkflowDefinition } from "../runs/definitions.ts";
import { missingRoles } from "./check-workflow.ts";
import type { Lines } from "./header.ts";
import { listed, type Problems, quoted } from "./problems.ts";

interface Known {
  agents: ReadonlyMap<string, unknown>;
  workflows: ReadonlyMap<string, { value: WorkflowDefinition }>;
}

/** Reports what the team names and the catalog has not, and roles its default workflow needs. */
export function checkTeam(team: TeamDefinition, lines: Lines, known: Known, problems: Problems): void {
  for (const { role, agent } of team.roles) {
    if (known.agents.has(agent)) continue;
    const fact = `The role ${quoted(role)} names the agent ${quoted(agent)}, which there is not`;
    problems.error(lines.get(`role:${role}`) ?? 1, `${fact}: use one of ${listed(known.agents.keys())}.`);
  }
  const line = lines.get("defaultWorkflow") ?? 1;
  const workflow = known.workflows.get(team.defaultWorkflow)?.value;
  if (!workflow) {
    const fact = `The default workflow ${quoted(team.defaultWorkflow)} is not there, or has errors of its own`;
    problems.error(line, `${fact}: use one of ${listed(known.workflows.keys())}.`);
    return;
  }
  for (const { role, step } of missingRoles(workflow, team)) {
    const fact = `The step ${quoted(step)} of the workflow ${quoted(workflow.name)} asks for the role ${quoted(role)}`;
    problems.error(line, `${fact}, which the team has not: add ${role} to its \`roles\`.`);
  }
}
