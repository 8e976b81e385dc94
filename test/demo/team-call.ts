import type { HostEvent, RpcHost } from "../support/rpc-host.ts";

const runMs = 120_000;

/** What the tool `team` handed back. */
export interface TeamResult {
  isError: boolean;
  text: string;
  details: { runId?: string; status?: string; tokens?: number; costUsd?: number };
}

export interface Conversation {
  /** Null when the main agent never called the team. */
  team: TeamResult | null;
  /** The main agent's last words. */
  closing: string;
  /** Of the main agent alone. */
  tokens: number;
  costUsd: number;
}

/** Sends one prompt to the main agent and tells `onProgress` each change of a task until the agent is done. */
export async function askMainAgent(
  host: RpcHost,
  prompt: string,
  onProgress: (line: string) => void,
): Promise<Conversation> {
  let seen = host.events.length;
  const accepted = await host.send({ type: "prompt", message: prompt });
  if (!accepted["success"]) throw new Error(`the host refused the prompt: ${accepted["error"]}`);
  const told = new Map<string, string>();
  const result: Conversation = { team: null, closing: "", tokens: 0, costUsd: 0 };
  for (;;) {
    const event = await host.waitFor(({ type }) => type in handlers, runMs, seen);
    seen = host.events.indexOf(event, seen) + 1;
    if (event.type === "agent_end") return result;
    handlers[event.type]?.(event, result, (text) => {
      for (const line of changes(text, told)) onProgress(line);
    });
  }
}

const handlers: Record<string, (event: HostEvent, result: Conversation, tell: (text: string) => void) => void> = {
  agent_end: () => undefined,
  message_end: ({ message }, result) => {
    if (message.role !== "assistant") return;
    const text = textOf(message.content);
    result.closing = text || result.closing;
    result.tokens += Number(message.usage.totalTokens);
    result.costUsd += Number(message.usage.cost.total);
  },
  tool_execution_update: ({ partialResult }, _result, tell) => tell(textOf(partialResult.content)),
  tool_execution_end: ({ result: output, isError }, result, tell) => {
    result.team = { isError, text: textOf(output.content), details: output.details ?? {} };
    tell(result.team.text);
  },
};

const taskLine = /^([○●✓✗–]) (\S+) +(\w+) *(.*)$/;

/** Lines of a run's picture that say something new of a task; how long it works does not count. */
function changes(picture: string, told: Map<string, string>): string[] {
  return picture.split("\n").flatMap((line) => {
    const [, sign, task = "", status = "", rest = ""] = taskLine.exec(line) ?? [];
    if (!sign || status === "waiting" || status === "ready") return [];
    const facts = rest.split(/ {2,}/);
    const what = status === "running" ? (facts.at(-1) ?? "") : facts.join("  ");
    const said = `${sign} ${task.padEnd(8)} ${status.padEnd(9)}  ${what}`;
    if (told.get(task) === said) return [];
    told.set(task, said);
    return [said];
  });
}

function textOf(content: { type: string; text?: string }[]): string {
  return content.map((part) => part.text ?? "").join("");
}
