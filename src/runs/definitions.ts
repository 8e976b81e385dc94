import type { WorkerKind } from "../events/crew-event.ts";

/** Definitions as they are after parsing: complete, frozen, nothing running. */

/** Where a definition file was found; a later origin wins by name. */
export type Origin = "package" | "user" | "project";

export interface Source {
  origin: Origin;
  file: string;
  /** SHA-256 of the file's bytes, hex. */
  contentHash: string;
}

export interface AgentDefinition {
  name: string;
  description: string;
  /** The system prompt: the file's body. */
  prompt: string;
  /** `provider/id`, an id or a short name; null inherits the session's model. */
  model: string | null;
  fallbackModels: readonly string[];
  /** The host's thinking level; null inherits. */
  thinking: string | null;
  /** Host tool names the agent may use; null means the host's default set. */
  tools: readonly string[] | null;
  /** Tools taken away from that set. */
  disallowedTools: readonly string[];
  /** Skills by name; null means all of the user's. */
  skills: readonly string[] | null;
  /** Model turns before the attempt is ended; null means no limit. */
  maxTurns: number | null;
  /** Fields we do not know, kept as they were. */
  extra: Readonly<Record<string, unknown>>;
  source: Source;
}

export interface TeamRole {
  role: string;
  agent: string;
  model: string | null;
}

export interface TeamDefinition {
  name: string;
  description: string;
  defaultWorkflow: string;
  maxConcurrency: number;
  /** Each writing task gets its own git worktree. */
  worktree: boolean;
  roles: readonly TeamRole[];
  extra: Readonly<Record<string, unknown>>;
  source: Source;
}

export interface StepDefinition {
  id: string;
  /** Empty for kinds without a model. */
  role: string;
  /** Template with `{goal}` and `{outputs.<step>}`. */
  task: string;
  dependsOn: readonly string[];
  kind: WorkerKind;
  /** For the kinds without a model; empty otherwise. */
  command: string;
  /** Null means no limit of its own. Unit: seconds. */
  timeoutSec: number | null;
  /** Attempts this step opts into by itself; null follows the configuration. */
  retry: { maxAttempts: number } | null;
  /** A failed optional step fails neither the run nor its dependants. */
  optional: boolean;
  /** Artifact names this step reads, and the ones it hands over. */
  reads: readonly string[];
  output: readonly string[];
  /** Shell command that must exit 0 for the attempt to count; empty when there is none. */
  verify: string;
  /** Task type for metrics; the step's `type`, else its role, else its kind. */
  taskType: string;
}

export interface WorkflowDefinition {
  name: string;
  description: string;
  steps: readonly StepDefinition[];
  extra: Readonly<Record<string, unknown>>;
  source: Source;
}

/** A path below the work folder that can't leave it, on any system. */
export function isArtifactName(name: string): boolean {
  if (name.length > 200 || /[\p{Cc}\\:]/u.test(name)) return false;
  return name.split("/").every((part) => part !== "" && part !== "." && part !== ".." && part.toLowerCase() !== ".git");
}

/** A definition that could not be used; the rest still loads. */
export interface DefinitionProblem {
  file: string;
  /** 1-based; 1 when the problem has no line of its own. */
  line: number;
  /** A sentence that names the value and what to do. */
  message: string;
  severity: "error" | "warning";
}

export interface Catalog {
  agents: ReadonlyMap<string, AgentDefinition>;
  teams: ReadonlyMap<string, TeamDefinition>;
  workflows: ReadonlyMap<string, WorkflowDefinition>;
  problems: readonly DefinitionProblem[];
}
