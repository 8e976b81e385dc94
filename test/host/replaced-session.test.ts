import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createJiti } from "jiti";
import { expect, it, onTestFinished } from "vitest";
import { makeAgentFolder } from "../support/agent-folder.ts";

type Handler = (event: object, context: object) => unknown;
type Tool = { execute(...args: unknown[]): Promise<{ content: { text: string }[] }> };

/** The package as the host's loader evaluates it, on a host that does nothing. */
async function load() {
  const jiti = createJiti(import.meta.url, { moduleCache: false, tryNative: false });
  const extension = await jiti.import<(pi: object) => void>("../../index.ts", { default: true });
  const handlers = new Map<string, Handler>();
  const tools: Tool[] = [];
  extension({
    events: { emit: () => undefined, on: () => () => undefined },
    on: (name: string, handler: Handler) => handlers.set(name, handler),
    registerTool: (tool: Tool) => tools.push(tool),
    registerCommand: () => undefined,
    getAllTools: () => [],
    getThinkingLevel: () => "off",
    sendMessage: () => undefined,
  });
  return { tools, tell: (type: string, reason: string, ctx: object) => handlers.get(type)?.({ type, reason }, ctx) };
}

it("can be used when the session before was replaced while it was still loading", async () => {
  const folder = await makeAgentFolder();
  onTestFinished(() => folder.dispose());
  process.env["PI_CODING_AGENT_DIR"] = folder.agent;
  onTestFinished(() => void delete process.env["PI_CODING_AGENT_DIR"]);
  await mkdir(join(folder.project, ".crew/state/runs"), { recursive: true });
  const { tools, tell } = await load();
  const contextOf = (id: string) => ({
    cwd: folder.project,
    hasUI: true,
    ui: { notify: () => undefined, setStatus: () => undefined, setWidget: () => undefined },
    sessionManager: { getSessionId: () => id },
  });
  tell("session_start", "startup", contextOf("first"));
  const loading = Promise.allSettled([tools.at(-1)?.execute("call", { action: "list" })]);
  await tell("session_shutdown", "new", contextOf("first"));
  tell("session_start", "new", contextOf("second"));
  const listed = await tools.at(-1)?.execute("call", { action: "list" });
  await loading;
  await tell("session_shutdown", "quit", contextOf("second"));
  expect(listed?.content[0]?.text).toContain("Teams:");
});
