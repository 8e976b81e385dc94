import { parseObject } from "../system/json.ts";
import type { Redactor } from "../system/redaction.ts";

/**
 * `live.json` of an attempt: what its worker says and does at the moment and has not finished. Overwritten a few times
 * a second, never synced, and gone when nothing is under way; what is finished stands in the log.
 */

export interface LivePart {
  /** `call`: a tool's arguments, as JSON; `output`: what a running tool gave so far. */
  kind: "thinking" | "text" | "call" | "output";
  /** Empty for what the model says. */
  tool: string;
  text: string;
}

export interface LiveReply {
  /** What the log held then: when it holds more, these parts may stand there, too. */
  logBytes: number;
  parts: readonly LivePart[];
}

/** Of each part, its end; of a call its begin. */
const SHOWN_CHARS_MAX = 6000;
/** Masked around that: longer than any secret, so that none is cut before it is known. */
const MASKED_CHARS_MAX = 30_000;
const PARTS_MAX = 8;
/** More than such a file ever has, each character escaped. */
export const LIVE_BYTES_MAX = 8 * SHOWN_CHARS_MAX * PARTS_MAX;

const KINDS: ReadonlySet<unknown> = new Set<LivePart["kind"]>(["thinking", "text", "call", "output"]);

/** Without secrets, and without what may become one; null when nothing is left to be shown. */
export function liveReplyOf(redactor: Redactor, given: readonly LivePart[], logBytes: number): LiveReply | null {
  const parts = given
    .slice(-PARTS_MAX)
    .map((part) => ({ ...part, text: shownOf(redactor, part) }))
    .filter(({ kind, text }) => kind === "call" || text.trim() !== "");
  return parts.length === 0 ? null : { logBytes, parts };
}

function shownOf(redactor: Redactor, { kind, text }: LivePart): string {
  if (kind === "call") {
    const begin = text.slice(0, MASKED_CHARS_MAX);
    return redactor.text(begin.slice(0, redactor.settled(begin))).slice(0, SHOWN_CHARS_MAX);
  }
  const end = text.slice(-MASKED_CHARS_MAX);
  return redactor.text(end.slice(0, redactor.settled(end))).slice(-SHOWN_CHARS_MAX);
}

/** Null for what is no such file's text. */
export function parseLiveReply(text: string): LiveReply | null {
  const value = parseObject(text);
  const { logBytes, parts } = value ?? {};
  if (typeof logBytes !== "number" || !Array.isArray(parts)) return null;
  return { logBytes, parts: parts.filter(isPart) };
}

function isPart(value: unknown): value is LivePart {
  const { kind, tool, text } = (value ?? {}) as Partial<LivePart>;
  return KINDS.has(kind) && typeof tool === "string" && typeof text === "string";
}
