import { isObject } from "../system/json.ts";
import type { Redactor } from "../system/redaction.ts";
import type { StepRequest } from "./step-contract.ts";

/** What an owner and a wrapper say to each other; the files tell everything that must not be lost. */

/** The system's timers fire at once when set for longer. */
export const timerMsMax = 2 ** 31 - 1;

/** From an abort until the attempt's end is written without it and its processes are killed, milliseconds. */
export const stopGraceMs = 3000;

/** From TERM to KILL for a command within an attempt: an owner who cancels ends the wrapper soon after, milliseconds. */
export const commandGraceMs = 1000;

/** At most so long between two tries to write an attempt's end to a full disk, milliseconds. */
export const endRetryMaxMs = 2000;

export type OwnerMessage =
  | { type: "attempt"; request: StepRequest; workerId: string }
  | { type: "cancel"; reason: string }
  | { type: "end" };

export type WrapperMessage =
  /** The SDK is loaded and the next session's services are made. */
  | { type: "ready" }
  /** The attempt's files grew. */
  | { type: "changed" }
  /** The attempt's end can't be recorded, and `why`; it is tried again. */
  | { type: "waiting"; why: string }
  /** The attempt is over: recorded, or `refused` because it could not be begun. `leaving`: the process takes no other. */
  | { type: "ended"; refused: string | null; leaving: boolean };

/** What `start.mjs` gets as its second argument, as JSON. */
export interface WrapperOptions {
  agentDir: string;
  /** The folder services are made for before the first attempt. */
  cwd: string;
  extensionPaths: readonly string[];
  /** Of the user's extensions only those of `extensionPaths` are loaded. */
  noExtensions: boolean;
  /** Whether a session is made ahead; a worker for a step without a model does not load the host for it. */
  warm: boolean;
  /** Holds the wrapper's own output; removed by the wrapper at a clean end. */
  outputFile: string;
}

export function isOwnerMessage(value: unknown): value is OwnerMessage {
  if (!isObject(value)) return false;
  if (value["type"] === "attempt") return isObject(value["request"]) && typeof value["workerId"] === "string";
  return value["type"] === "cancel" || value["type"] === "end";
}

export function isWrapperMessage(value: unknown): value is WrapperMessage {
  return isObject(value) && ["ready", "changed", "waiting", "ended"].includes(String(value["type"]));
}

/** The wrapper's process as the worker host sees it. */
export interface WrapperProcess {
  /** For what is told of attempts. */
  readonly redactor: Promise<Redactor>;
  /** Quiet when the owner is gone. */
  tell(message: WrapperMessage): void;
  /** Sets the environment and working folder, sends stray output to `output`; returns what undoes it. */
  enter(environment: Readonly<Record<string, string>>, cwd: string, output: (text: string) => void): () => void;
  /** Ends the process. */
  exit(code: number): void;
}
