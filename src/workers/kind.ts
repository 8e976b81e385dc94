import type { AttemptReport } from "../runs/execute.ts";
import type { LivePart } from "./live-reply.ts";
import type { LifecycleEventType, StepOutcome, StepRequest } from "./step-contract.ts";

/** How a kind of worker does one attempt inside the wrapper. */

export interface KindContext {
  /** Aborts with a StopReason. */
  signal: AbortSignal;
  /** Resolves when the attempt is ours: a model may be asked, and nothing changed. Rejects when it is another's. */
  taken: Promise<void>;
  /**
   * Resolves when the claim is on disk to stay, and what the work folder was is remembered; nothing with an effect may
   * happen before. Begins that when it is first looked at. Rejects when the attempt is not ours.
   */
  readonly claimed: Promise<void>;
  /** One line into stdout.log, without its line feed. */
  stdout(line: string): void;
  /** Text into stderr.log. */
  stderr(text: string): void;
  /** Bytes into a log as they are. */
  bytes(log: "stdout" | "stderr", bytes: Uint8Array): void;
  /** What is under way has changed; `parts` gives it, secrets and all, when it is wanted. */
  live(parts: () => readonly LivePart[]): void;
  /** What the attempt's processes get beside this process's own environment: by its tags all of them are found and ended. */
  environment: Readonly<Record<string, string>>;
  /** Something of the attempt may go on within this process: it takes no other. */
  spoil(): void;
}

export type StopReason = "timeout" | "cancelled";

/** How the work went; what else a report holds is the wrapper's to know. */
export type KindResult = Omit<
  AttemptReport,
  "durationMs" | "finishedAt" | "artifacts" | "changes" | "checkpoints" | "commit"
> & {
  /** What the worker says is to be done next; null when it says nothing. */
  suggestedFollowup: string | null;
};

export interface AttemptKind {
  /** What has to be there before an attempt is taken: who never takes one is given up. Never rejects. */
  load?(): Promise<void>;
  /** Does ahead what the next attempt in `cwd` will need; called for kind `pi` only. Never rejects. */
  prepare(cwd: string): Promise<void>;
  /** Never rejects for what happens in the attempt; rejects when `taken` or `claimed` does. */
  run(request: StepRequest, context: KindContext): Promise<KindResult>;
  /** What is known of an attempt that can't end by itself any more. */
  partial(): KindResult | null;
}

export const emptyResult: KindResult = {
  outcome: "failed",
  summary: "",
  model: null,
  tokens: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 },
  costUsd: 0,
  usage: [],
  hostRetries: 0,
  exitCode: null,
  failureKind: "permanent",
  error: null,
  suggestedFollowup: null,
};

/** The executors of a worker by the kind they do, own ones by a name of their own. */
export type AttemptKinds = Readonly<Record<string, AttemptKind>>;

export const END_EVENTS: Readonly<Record<StepOutcome, LifecycleEventType>> = {
  prepared: "step_prepared",
  completed: "step_completed",
  failed: "step_failed",
  blocked: "step_blocked",
};

export function stepOutcomeOf({ outcome }: Pick<KindResult, "outcome">): StepOutcome {
  return outcome === "completed" || outcome === "blocked" ? outcome : "failed";
}
