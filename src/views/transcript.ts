import { isObject, parseObject } from "../system/json.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import type { Tone } from "./paint.ts";
import { counted } from "./units.ts";

/** One line of what a worker did; long ones are folded where they are drawn. */
export interface TranscriptLine {
  tone: Tone;
  text: string;
}

const RESULT_LINES_MAX = 8;
const PROMPT_LINES_MAX = 12;
const ARGUMENT_CHARS_MAX = 300;
/** Of what is thought, and of what a tool that runs has printed. */
const LIVE_LINES_MAX = 6;

/** Of the host's and of codex' events, those that say nothing to a reader. */
const SILENT =
  /^(session|agent_start|agent_end|turn_\w+|turn\.\w+|thread\.\w+|tool_execution_\w+|auto_retry_end|compaction_end)$/;

type Value = Record<string, unknown>;

/** The end of a worker's `stdout.log` as people read it: event lines of the host's, or whatever a program said. */
export function readTranscript(log: string, linesMax: number): TranscriptLine[] {
  return log
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const event = line.startsWith("{") ? parseObject(line) : null;
      return (event && eventLines(event)) ?? textLines(line, "text");
    })
    .slice(-linesMax);
}

/** What a worker says and does and has not finished. */
interface BegunPart {
  kind: "thinking" | "text" | "call" | "output";
  tool: string;
  text: string;
}

/** What stands below the finished lines, with a sign that it goes on. */
export function liveLines(parts: readonly BegunPart[]): TranscriptLine[] {
  const lines = parts.flatMap((part): TranscriptLine[] => {
    const { kind, tool, text } = part;
    if (kind === "text") return textLines(text.trim(), "text");
    if (kind === "call") return [toolLine(tool, text)];
    const end = textLines(text.trim(), kind === "thinking" ? "muted" : "dim").slice(-LIVE_LINES_MAX);
    return marked(kind === "thinking" ? "∴ " : `${tool}: `, end, kind === "thinking" ? "muted" : "dim");
  });
  return lines.length === 0 ? [] : [...lines, { tone: "dim", text: "▌ not finished" }];
}

/** Null for what is no event, but what a program printed. */
function eventLines(event: Value): TranscriptLine[] | null {
  const { type, message, item } = event;
  if (type === "message_end" && isObject(message)) return messageLines(message);
  if (type === "auto_retry_start")
    return [{ tone: "warning", text: `↻ asked again, ${wordOf(event["attempt"])}: ${wordOf(event["errorMessage"])}` }];
  if (type === "compaction_start") return [{ tone: "muted", text: "≡ the conversation is made shorter" }];
  if (type === "log_cut") return [{ tone: "warning", text: "the log has reached its limit; words are left out" }];
  if ((type === "item.started" || type === "item.completed") && isObject(item)) return itemLines(type, item);
  return typeof type === "string" && SILENT.test(type) ? [] : null;
}

/** Of codex: what it says stands in the item's end, what it runs in its begin. */
function itemLines(type: string, item: Value): TranscriptLine[] {
  const begun = type === "item.started";
  if (item["type"] === "command_execution" && begun) return [{ tone: "accent", text: `→ ${wordOf(item["command"])}` }];
  if (begun) return [];
  const output = wordOf(item["aggregated_output"]);
  return output === ""
    ? textLines(wordOf(item["text"]).trim(), "text")
    : marked("  ", headOf(output, RESULT_LINES_MAX), "dim");
}

function messageLines(message: Value): TranscriptLine[] {
  const { role, isError } = message;
  const parts = partsOf(message["content"]);
  if (role === "user") return marked("» ", headOf(wordsIn(parts), PROMPT_LINES_MAX), "muted");
  if (role === "toolResult")
    return marked("  ", headOf(wordsIn(parts), RESULT_LINES_MAX), isError === true ? "error" : "dim");
  if (role !== "assistant") return [];
  const lines = parts.flatMap((part) => {
    if (part["type"] === "text") return textLines(wordOf(part["text"]).trim(), "text");
    return part["type"] === "toolCall" ? [callLine(part)] : [];
  });
  const error = message["stopReason"] === "error" ? wordOf(message["errorMessage"]) : "";
  return error === "" ? lines : [...lines, ...marked("✗ ", textLines(error, "error"), "error")];
}

function callLine(part: Value): TranscriptLine {
  const given = isObject(part["arguments"]) ? part["arguments"] : {};
  const [only, ...more] = Object.values(given);
  const told = typeof only === "string" && more.length === 0 ? only : JSON.stringify(given);
  return toolLine(wordOf(part["name"]), told);
}

function toolLine(name: string, told: string): TranscriptLine {
  return { tone: "accent", text: `→ ${name} ${safeText(cutText(told, ARGUMENT_CHARS_MAX), { multiline: false })}` };
}

function partsOf(content: unknown): Value[] {
  if (typeof content === "string") return [{ type: "text", text: content }];
  return Array.isArray(content) ? content.filter(isObject) : [];
}

function wordsIn(parts: readonly Value[]): string {
  return parts.map((part) => (part["type"] === "text" ? wordOf(part["text"]) : "")).join("");
}

function headOf(text: string, most: number): TranscriptLine[] {
  const lines = textLines(text.trim(), "muted");
  if (lines.length <= most) return lines;
  return [...lines.slice(0, most), { tone: "muted", text: `… ${counted(lines.length - most, "more line")}` }];
}

function textLines(text: string, tone: Tone): TranscriptLine[] {
  if (text === "") return [];
  return safeText(text, { multiline: true })
    .replaceAll("\t", "  ")
    .split("\n")
    .map((line) => ({ tone, text: line.trimEnd() }));
}

function marked(mark: string, lines: readonly TranscriptLine[], tone: Tone): TranscriptLine[] {
  return lines.map(({ text }, at) => ({ tone, text: `${at === 0 ? mark : "  "}${text}` }));
}

function wordOf(value: unknown): string {
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}
