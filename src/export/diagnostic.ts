import type { CrewEvent } from "../events/crew-event.ts";
import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import type { DeadLetter } from "../store/dead-letter-lines.ts";
import type { RunView } from "../store/run-store.ts";
import type { Redactor } from "../system/redaction.ts";
import { isSecretName } from "../system/redaction-rules.ts";
import { keepEnds } from "../system/safe-text.ts";

/** All about one run in one value, without secrets, to be handed to somebody else. */

const TEXT_CHARS_MAX = 4000;
const VARIABLES_MAX = 500;
/** Events that are looked at; the newest stay. */
export const RECENT_EVENTS_MAX = 500;
/** Variables whose values tell how things are set, and are nobody's affair otherwise. */
const SETTING =
  /^(?:(?:PI|FOREMAN|OTEL|NODE|LC|XDG)_\w+|PATH|HOME|SHELL|LANG|TERM|COLORTERM|TZ|TMPDIR|CI|(?:NO|HTTPS?|ALL)_PROXY)$/i;

/** Settings that may hold a key or a password. */
const UNTOLD = /(?:headers|webhook_url|notifications_command)$/i;

/** How the worker of a task's last attempt was seen. */
export interface WorkerSight {
  taskId: string;
  attempt: number;
  /** ISO 8601; null when it never gave a sign of life. */
  lastSeenAt: string | null;
  silentMs: number | null;
  process: "alive" | "dead" | "unknown";
  ended: boolean;
}

export interface DiagnosticFacts {
  /** Wall clock, milliseconds. */
  now: number;
  view: Pick<RunView, "manifest" | "state" | "health" | "degraded" | "folder">;
  events: readonly CrewEvent[];
  deadLetters: readonly DeadLetter[];
  workers: readonly WorkerSight[];
  env: Readonly<Record<string, string | undefined>>;
  /** Versions and the like, by name. */
  about: Readonly<Record<string, string>>;
  /** Null when nothing is counted. */
  metrics: MetricsSnapshot | null;
}

export type Diagnostic = ReturnType<typeof diagnosticOf>;

/**
 * Masked first and cut then: what was cut before could be half a secret. `schemaVersion` and `metricsSnapshot` are
 * there only when there are metrics.
 */
export function diagnosticOf(facts: DiagnosticFacts, redactor: Redactor) {
  const { view, now, events, deadLetters, workers, about, metrics } = facts;
  const { tasks, ...run } = view.state;
  const whole = {
    ...(metrics === null ? {} : { schemaVersion: 2 }),
    runId: view.manifest.runId,
    exportedAt: new Date(now).toISOString(),
    about,
    run: { ...run, degraded: view.degraded, health: view.health, folder: view.folder },
    manifest: view.manifest,
    tasks,
    recentEvents: events.slice(-RECENT_EVENTS_MAX),
    deadLetters,
    heartbeat: workers,
    agents: agentsOf(view),
    envRedacted: environmentOf(facts.env),
    ...(metrics === null ? {} : { metricsSnapshot: metrics }),
  };
  return cut(redactor.value(whole)) as typeof whole;
}

/** Who does, or did, each task. */
function agentsOf({ manifest, state }: DiagnosticFacts["view"]) {
  return manifest.tasks.map(({ taskId, role, kind, agent }, at) => {
    const last = state.tasks[at]?.attempts.at(-1);
    const { name = null, models = [], tools = null } = agent ?? {};
    const worker = { workerId: last?.workerId ?? null, pid: last?.pid ?? null };
    return { taskId, role, workerKind: kind, agent: name, models, tools, status: state.tasks[at]?.status, ...worker };
  });
}

/** Values of settings; of all else only that it is set. */
function environmentOf(env: DiagnosticFacts["env"]): Record<string, string> {
  const names = Object.keys(env).sort().slice(0, VARIABLES_MAX);
  return Object.fromEntries(names.map((name) => [name, told(name, env[name] ?? "")]));
}

function told(name: string, value: string): string {
  if (UNTOLD.test(name)) return "***";
  // a secret's name has it masked, and counted
  return SETTING.test(name) || isSecretName(name) ? value : "(set)";
}

function cut(value: unknown): unknown {
  if (typeof value === "string") return keepEnds(value, TEXT_CHARS_MAX);
  if (Array.isArray(value)) return value.map(cut);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, cut(item)]));
}
