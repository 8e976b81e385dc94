import type { ExtensionAPI } from "@mariozechner/pi-coding-agent";
import type { TokenCounts } from "../events/crew-event.ts";
import type { Clock } from "../system/world.ts";
import type { TellFact } from "./early-facts.ts";

/** Tool calls under way that are remembered. */
const TOOLS_MAX = 1000;

/** Then come any words of the provider's; but `500 tokens are too many` is no status. */
const STATUS_AHEAD =
  /^\s*(?:[Ee]rror:?\s*)?([45]\d\d)\b(?!\s+(?:tokens|words|characters|bytes|messages|requests|images|tools|seconds|ms)\b)/;
const STATUS_WITHIN = /"(?:code|status)"\s*:\s*([45]\d\d)\b|\bstatus(?: ?code)?:? ([45]\d\d)\b/i;
const NO_REPLY =
  /network|connect|socket|econn|etimedout|enotfound|eai_again|epipe|fetch failed|terminated|timed? ?out|timeout|stream ended|other side closed/i;

/** A model's reply as the host tells it; what a provider left out or got wrong is not trusted. */
interface AssistantMessage {
  role: "assistant";
  provider?: unknown;
  model?: unknown;
  stopReason?: unknown;
  errorMessage?: unknown;
  usage?: (Partial<Record<keyof TokenCounts, unknown>> & { cost?: { total?: unknown } | null }) | null;
}

/** From what the host tells of a session to its metrics. Each call is synchronous and cheap; none throws. */
export class SessionMeter {
  readonly #tell: TellFact;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #tools = new Map<string, number>();
  #turnStart: number | null = null;
  /** When the request was sent whose first token has not come. */
  #asked: number | null = null;
  /** Of the last answer, when it was an error. */
  #errorStatus: number | null = null;

  constructor(tell: TellFact, clock: Pick<Clock, "monotonicMs">) {
    this.#tell = tell;
    this.#clock = clock;
  }

  agentStarted(): void {
    this.#tools.clear();
  }

  turnStarted(): void {
    this.#turnStart = this.#clock.monotonicMs();
    this.#asked = this.#turnStart;
  }

  turnEnded(): void {
    if (this.#turnStart === null) return;
    this.#tell("turnEnded", { durationMs: this.#since(this.#turnStart) });
    this.#turnStart = null;
  }

  requestSent(): void {
    this.#asked = this.#clock.monotonicMs();
    this.#errorStatus = null;
  }

  answered(status: number): void {
    this.#errorStatus = status >= 400 ? status : null;
  }

  /** Any piece of any message. */
  pieceCame(message: unknown): void {
    if (this.#asked === null || !isReply(message)) return;
    this.#tell("firstToken", { model: modelOf(message), delayMs: this.#since(this.#asked) });
    this.#asked = null;
  }

  /** Of whatever role. */
  messageEnded(message: unknown): void {
    if (!isReply(message)) return;
    this.#asked = null;
    const { stopReason, errorMessage } = message;
    const usage = message.usage ?? {};
    const tokens = {
      input: countOf(usage.input),
      output: countOf(usage.output),
      cacheRead: countOf(usage.cacheRead),
      cacheWrite: countOf(usage.cacheWrite),
    };
    this.#tell("usage", { model: modelOf(message), tokens, costUsd: countOf(usage.cost?.total) });
    if (stopReason !== "error") return;
    this.#tell("providerError", { status: this.#errorStatus ?? statusOf(String(errorMessage ?? "")) });
    this.#errorStatus = null;
  }

  toolStarted(id: string): void {
    if (this.#tools.size < TOOLS_MAX) this.#tools.set(id, this.#clock.monotonicMs());
  }

  /** Without its start (the package was loaded while it ran) a call is counted, and has no duration. */
  toolEnded(id: string, tool: string, isError: boolean): void {
    const started = this.#tools.get(id);
    this.#tools.delete(id);
    const durationMs = started === undefined ? null : this.#since(started);
    this.#tell("toolEnded", { tool, status: isError ? "error" : "ok", durationMs });
  }

  #since(start: number): number {
    return Math.max(0, this.#clock.monotonicMs() - start);
  }
}

/** Lets the host's own events move the meter of the session that is open; to be called once, in the factory. */
export function meterSession(pi: ExtensionAPI, current: () => SessionMeter | null): void {
  pi.on("agent_start", () => current()?.agentStarted());
  pi.on("turn_start", () => current()?.turnStarted());
  pi.on("turn_end", () => current()?.turnEnded());
  // a value returned here would replace the request
  pi.on("before_provider_request", () => void current()?.requestSent());
  pi.on("after_provider_response", ({ status }) => current()?.answered(status));
  pi.on("message_update", ({ message }) => current()?.pieceCame(message));
  pi.on("message_end", ({ message }) => void current()?.messageEnded(message));
  pi.on("tool_execution_start", ({ toolCallId }) => current()?.toolStarted(toolCallId));
  pi.on("tool_execution_end", ({ toolCallId, toolName, isError }) =>
    current()?.toolEnded(toolCallId, toolName, isError),
  );
}

function isReply(message: unknown): message is AssistantMessage {
  return typeof message === "object" && message !== null && (message as { role?: unknown }).role === "assistant";
}

function modelOf({ provider, model }: AssistantMessage): string {
  return `${String(provider ?? "unknown")}/${String(model ?? "unknown")}`;
}

function countOf(value: unknown): number {
  return typeof value === "number" && Number.isFinite(value) && value > 0 ? value : 0;
}

/** The HTTP status that a provider's message begins with or names; how it went otherwise. */
function statusOf(message: string): number | "network" | "other" {
  const status = (STATUS_AHEAD.exec(message) ?? STATUS_WITHIN.exec(message))?.slice(1).find(Boolean);
  if (status !== undefined) return Number(status);
  return NO_REPLY.test(message) ? "network" : "other";
}
