/** What a scripted player may look at: the same context a model would get, in one shape for both hosts. */

export interface Conversation {
  /** The system prompt. */
  system: string;
  /** The user's last words. */
  user: string;
  /** Replies given since then: the index of the move to play. */
  turn: number;
  /** Tool results since then, in order. */
  results: readonly ToolOutput[];
  /** Characters of everything above, earlier replies included. */
  chars: number;
}

export interface ToolOutput {
  tool: string;
  text: string;
  isError: boolean;
}

export interface ToolCall {
  tool: string;
  args: Record<string, unknown>;
}

/** One reply of the scripted model; without tool calls it is the last. */
export interface Move {
  text: string;
  calls: readonly ToolCall[];
}

/** The host's context: 0.73 has `systemPrompt` of its own, newer ones send it as a message. */
export interface HostContext {
  systemPrompt?: unknown;
  messages: readonly HostMessage[];
}

export interface HostMessage {
  role: string;
  content?: unknown;
  toolName?: string;
  isError?: boolean;
}

export function readConversation({ systemPrompt, messages }: HostContext): Conversation {
  const texts = messages.map(({ content }) => textOf(content));
  const last = messages.findLastIndex(({ role }) => role === "user");
  const after = messages.slice(last + 1);
  const system = [textOf(systemPrompt), ...texts.filter((_, at) => messages[at]?.role === "system")].join("\n");
  return {
    system,
    user: texts[last] ?? "",
    turn: after.filter(({ role }) => role === "assistant").length,
    results: after
      .filter(({ role }) => role === "toolResult")
      .map(({ toolName = "", content, isError = false }) => ({ tool: toolName, text: textOf(content), isError })),
    chars: textOf(systemPrompt).length + texts.reduce((sum, text) => sum + text.length, 0),
  };
}

function textOf(content: unknown): string {
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return "";
  return content.map((part: { text?: unknown }) => (typeof part.text === "string" ? part.text : "")).join("");
}

export function say(text: string, ...calls: ToolCall[]): Move {
  return { text, calls };
}

export function call(tool: string, args: Record<string, unknown>): ToolCall {
  return { tool, args };
}

export interface TestRun {
  passed: number;
  failed: number;
  /** Names of the tests that failed. */
  failures: readonly string[];
  /** The command's exit code was 0, something was tested and nothing failed. */
  ok: boolean;
}

/** The last output of `node --test` among the results; null when there is none. */
export function lastTestRun(results: readonly ToolOutput[]): TestRun | null {
  const output = results.findLast(({ tool, text }) => tool === "bash" && /^(#|ℹ) tests \d+/m.test(text));
  return output ? readTestRun(output.text, !output.isError) : null;
}

/** Understands both reporters that Node uses when nobody watches. */
export function readTestRun(text: string, exitedWithZero: boolean): TestRun {
  const count = (name: string) => Number(new RegExp(`^(?:#|ℹ) ${name} (\\d+)`, "m").exec(text)?.[1] ?? 0);
  const failures = [...text.matchAll(/^\s*(?:not ok \d+ -|✖) (.+?)(?: \([\d.]+ms\))?$/gm)].map(
    (match) => match[1] ?? "",
  );
  const [passed, failed] = [count("pass"), count("fail")];
  const names = failures.filter((name) => name !== "failing tests:");
  return { passed, failed, failures: [...new Set(names)], ok: exitedWithZero && passed > 0 && failed === 0 };
}
