import { isObject, parseObject } from "../system/json.ts";

/** What another process may ask of a run's owner. Closed: an owner has an answer to every kind. */
export type InboxRequest =
  | { kind: "cancel"; reason: string }
  /** Ends one task of the run. */
  | { kind: "cancel-task"; taskId: string; reason: string }
  /** Tells a task's worker something. */
  | { kind: "steer"; taskId: string; text: string }
  /** Keeps what the task's worker has changed so far. */
  | { kind: "checkpoint"; taskId: string }
  /** Gives a failed task up by hand. */
  | { kind: "deadletter"; taskId: string }
  /** Tells that a failed task is done again by another run. */
  | { kind: "redrive"; taskId: string; newRunId: string };

export type PostedRequest = InboxRequest & {
  /** The file's name without its suffix. */
  id: string;
  /** The poster's wall clock, milliseconds since 1970. */
  at: number;
  from: { pid: number; sessionId: string };
};

export const REQUEST_BYTES_MAX = 64 * 1024;
const ID_CHARS_MAX = 200;

type TextFields<K extends InboxRequest["kind"]> = readonly Exclude<keyof Extract<InboxRequest, { kind: K }>, "kind">[];

/** Each kind's own fields, all of them texts. */
const FIELDS: { readonly [K in InboxRequest["kind"]]: TextFields<K> } = {
  cancel: ["reason"],
  "cancel-task": ["taskId", "reason"],
  steer: ["taskId", "text"],
  checkpoint: ["taskId"],
  deadletter: ["taskId"],
  redrive: ["taskId", "newRunId"],
};

/** The request a file holds whose name says `id`, with nothing else in it; null when it is none. */
export function parseRequest(text: string, id: string): PostedRequest | null {
  const value = parseObject(text);
  const from = value?.["from"];
  if (value === null || !isObject(from) || value["v"] !== 1 || value["id"] !== id) return null;
  const { kind, at } = value;
  const { pid, sessionId } = from;
  if (typeof kind !== "string" || !Object.hasOwn(FIELDS, kind)) return null;
  if (typeof at !== "number" || typeof pid !== "number" || !isId(sessionId)) return null;
  const fields = FIELDS[kind as InboxRequest["kind"]].map((field) => [field, value[field]] as const);
  if (!fields.every(([field, text]) => (field.endsWith("Id") ? isId(text) : typeof text === "string"))) return null;
  // the table above says which fields its kind has
  return Object.freeze({ kind, ...Object.fromEntries(fields), id, at, from: { pid, sessionId } }) as PostedRequest;
}

function isId(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= ID_CHARS_MAX;
}
