import {
  isArtifactName,
  type StepDefinition,
  type TeamDefinition,
  type WorkflowDefinition,
} from "../runs/definitions.ts";
import { parseGitCommand } from "../runs/git-command.ts";
import { isName, type Lines, NAME_RULE } from "./header.ts";
import { listed, type Problems, quoted } from "./problems.ts";

export const stepsMax = 200;
/** An event tells of them all. */
const outputsMax = 100;
const typeCharsMax = 64;

/** Reports what would keep the workflow from running to its end, whatever the team. `lines` may be empty. */
export function checkWorkflow(workflow: WorkflowDefinition, lines: Lines, problems: Problems): void {
  const { steps } = workflow;
  if (steps.length === 0) {
    const remedy = "add a `## step-id` with a line `role: …`";
    if (!problems.failed) problems.error(1, `The workflow ${quoted(workflow.name)} has no steps: ${remedy}.`);
    return;
  }
  if (steps.length > stepsMax) {
    problems.error(1, `The workflow has ${steps.length} steps, more than ${stepsMax}: split it.`);
    return;
  }
  const check = new Check(steps, lines, problems);
  check.ids();
  for (const step of steps) check.step(step);
  if (check.cycle()) return;
  for (const step of steps) check.handOver(step);
  check.artifacts();
}

/** Roles the workflow asks for that the team has not, with the first step that does. */
export function missingRoles(workflow: WorkflowDefinition, team: TeamDefinition): { role: string; step: string }[] {
  const roles = new Set(team.roles.map(({ role }) => role));
  const missing = new Map<string, string>();
  for (const { id, role } of workflow.steps) {
    if (role !== "" && !roles.has(role) && !missing.has(role)) missing.set(role, id);
  }
  return [...missing].map(([role, step]) => ({ role, step }));
}

class Check {
  readonly #steps: readonly StepDefinition[];
  readonly #byId = new Map<string, StepDefinition>();
  readonly #lines: Lines;
  readonly #problems: Problems;
  readonly #before = new Map<string, ReadonlySet<string>>();

  constructor(steps: readonly StepDefinition[], lines: Lines, problems: Problems) {
    this.#steps = steps;
    this.#lines = lines;
    this.#problems = problems;
    for (const step of steps) this.#byId.set(step.id, step);
  }

  ids(): void {
    const seen = new Set<string>();
    for (const { id } of this.#steps) {
      if (!isName(id)) this.#error(id, "", `The step id ${quoted(id)} can't be used: ${NAME_RULE}.`);
      if (seen.has(id)) this.#error(id, "again", `The step id ${quoted(id)} is given twice: rename one of them.`);
      seen.add(id);
    }
  }

  step(step: StepDefinition): void {
    const { id, kind } = step;
    const withModel = kind === "pi" || kind === "codex";
    if (kind === "pi" && step.role === "") {
      this.#error(id, "", `The step ${quoted(id)} has no role: add \`role: …\`, one of the team's.`);
    }
    if (withModel && step.task === "") {
      this.#error(id, "", `The step ${quoted(id)} has no task: write below its keys what to do.`);
    }
    if (!withModel && step.command === "") {
      this.#error(id, "kind", `The step ${quoted(id)} is of kind ${kind} and has no command: add \`command: …\`.`);
    }
    if (kind === "pi" && step.command !== "") {
      this.#warning(id, "command", `The command of the step ${quoted(id)} is ignored: add \`kind: shell\` to run it.`);
    }
    if (!withModel) this.#filledIn(id, "command", step.command);
    this.#filledIn(id, "verify", step.verify);
    const git = kind === "git" && step.command !== "" ? parseGitCommand(step.command) : null;
    if (git !== null && "problem" in git) this.#error(id, "command", git.problem);
    this.#type(step);
    for (const dependency of step.dependsOn) this.#dependency(id, dependency);
  }

  #type({ id, taskType }: StepDefinition): void {
    if (taskType.length <= typeCharsMax) return;
    const fact = `The type ${quoted(taskType)} has ${taskType.length} characters, more than ${typeCharsMax}`;
    this.#error(id, "type", `${fact}: it is a label of metrics, shorten it.`);
  }

  #filledIn(id: string, field: string, command: string): void {
    const found = /\{(goal|outputs?\.([^{}\s]*))\}/.exec(command);
    if (!found) return;
    const [, placeholder, output] = found;
    const name = output === undefined ? "GOAL" : `OUTPUT_${output.toUpperCase().replaceAll("-", "_")}`;
    const fact = "Nothing is filled into a command, as text could become code";
    this.#error(id, field, `${fact}: instead of {${placeholder}} write "$FOREMAN_${name}" in a shell command.`);
  }

  #dependency(id: string, dependency: string): void {
    if (dependency === id) {
      this.#error(id, "dependsOn", `The step ${quoted(id)} depends on itself: remove it from \`dependsOn\`.`);
    } else if (!this.#byId.has(dependency)) {
      const known = listed(this.#byId.keys());
      const fact = `The step ${quoted(id)} depends on ${quoted(dependency)}, which is no step of this workflow`;
      this.#error(id, "dependsOn", `${fact}: use one of ${known}.`);
    }
  }

  /** Reports one cycle; the others show when it is gone. Fills what `handOver` needs otherwise. */
  cycle(): boolean {
    let waiting = [...this.#byId.values()];
    while (waiting.length > 0) {
      const ids = new Set(waiting.map(({ id }) => id));
      const next = waiting.filter((step) => !this.#others(step).some((dependency) => ids.has(dependency)));
      if (next.length === 0) {
        this.#reportCycle(waiting, ids);
        return true;
      }
      for (const step of next) this.#before.set(step.id, this.#indirect(step));
      waiting = waiting.filter(({ id }) => !this.#before.has(id));
    }
    return false;
  }

  #others(step: StepDefinition): string[] {
    return step.dependsOn.filter((dependency) => dependency !== step.id);
  }

  #indirect(step: StepDefinition): Set<string> {
    const all = new Set(this.#others(step));
    for (const dependency of [...all]) for (const earlier of this.#before.get(dependency) ?? []) all.add(earlier);
    return all;
  }

  #reportCycle(waiting: readonly StepDefinition[], ids: ReadonlySet<string>): void {
    const path: string[] = [];
    let at = waiting[0]?.id;
    while (at !== undefined && !path.includes(at)) {
      path.push(at);
      const step = this.#byId.get(at);
      at = step && this.#others(step).find((dependency) => ids.has(dependency));
    }
    const ring = at === undefined ? path : [...path.slice(path.indexOf(at)), at];
    const first = ring[0] ?? "";
    const remedy = "remove one of these dependencies";
    this.#error(
      first,
      "dependsOn",
      `The steps wait for each other (${ring.join(" → ")}) and none could start: ${remedy}.`,
    );
  }

  handOver(step: StepDefinition): void {
    const before = this.#before.get(step.id) ?? new Set();
    for (const id of new Set([...step.task.matchAll(/\{outputs?\.([^{}\n]*)\}/g)].map((match) => match[1] ?? ""))) {
      if (before.has(id)) continue;
      const known = this.#byId.has(id) ? `add ${quoted(id)} to its \`dependsOn\`` : `use one of ${listed(before)}`;
      const fact = `The task of ${quoted(step.id)} uses {outputs.${id.slice(0, 64)}}, which is not done before it`;
      this.#error(step.id, "", `${fact}: ${known}.`);
    }
    if (/\{output\./.test(step.task)) {
      this.#warning(
        step.id,
        "",
        `The task of ${quoted(step.id)} has {output.…}, which stays as it is: write {outputs.…}.`,
      );
    }
    for (const artifact of step.reads) this.#read(step.id, artifact, before);
  }

  #read(id: string, artifact: string, before: ReadonlySet<string>): void {
    const writers = this.#steps.filter(({ output }) => output.includes(artifact));
    if (writers.some((writer) => before.has(writer.id))) return;
    const [writer] = writers;
    const remedy = writer
      ? `add ${quoted(writer.id)}, which hands it over, to its \`dependsOn\``
      : "name it in the `output` of a step it depends on";
    this.#error(
      id,
      "reads",
      `The step ${quoted(id)} reads ${quoted(artifact)}, which is not there by then: ${remedy}.`,
    );
  }

  artifacts(): void {
    const owners = new Map<string, string>();
    for (const { id, output } of this.#steps) {
      if (output.length > outputsMax) {
        const fact = `The step ${quoted(id)} hands over ${output.length} files, more than ${outputsMax}`;
        this.#error(id, "output", `${fact}: have it pack them into one.`);
      }
      for (const name of output) {
        const owner = owners.get(name);
        if (!isArtifactName(name)) {
          const rule = "name a file within the work folder, as in `notes/plan.md`";
          this.#error(id, "output", `The step ${quoted(id)} hands over ${quoted(name)}, which can't be used: ${rule}.`);
        } else if (owner !== undefined && owner !== id) {
          const other = `${quoted(owner)} (line ${this.#line(owner, "output")})`;
          const fact = `The step ${quoted(id)} hands over ${quoted(name)}, as ${other} does`;
          this.#error(id, "output", `${fact}, and one would replace the other: rename one.`);
        }
        owners.set(name, owner ?? id);
      }
    }
  }

  #error(id: string, field: string, message: string): void {
    this.#problems.error(this.#line(id, field), message);
  }

  #warning(id: string, field: string, message: string): void {
    this.#problems.warning(this.#line(id, field), message);
  }

  #line(id: string, field: string): number {
    return this.#lines.get(`${id}.${field}`) ?? this.#lines.get(id) ?? 1;
  }
}
