// A Pi session as far as the extension can tell: loads the package as the host does, through jiti, opens a session,
// says yes to what it is asked, and does what its parent says. It quits when the parent closes the channel.
import { randomUUID } from "node:crypto";
import { EventEmitter } from "node:events";
import { cwd, exit } from "node:process";
import { createJiti } from "jiti";

const handlers = new Map();
let tool = null;
const emitter = new EventEmitter();
const events = {
  emit: (channel, data) => void emitter.emit(channel, data),
  on: (channel, handler) => {
    emitter.on(channel, handler);
    return () => void emitter.off(channel, handler);
  },
};

const pi = {
  events,
  on: (name, handler) => void handlers.set(name, handler),
  registerTool: (registered) => {
    tool = registered;
  },
  registerCommand: () => undefined,
  getAllTools: () => [],
  getThinkingLevel: () => "off",
  sendMessage: () => undefined,
};

function contextOf(id) {
  const ui = {
    confirm: async () => true,
    notify: (text, severity) => severity === "error" && tell({ told: "error", text }),
    setStatus: () => undefined,
    setWidget: () => undefined,
  };
  return { cwd: cwd(), hasUI: true, mode: "rpc", ui, model: undefined, sessionManager: { getSessionId: () => id } };
}

let context = contextOf(randomUUID());
const happened = async (name, event) => await handlers.get(name)?.({ type: name, ...event }, context);

async function take({ ask, ...call }) {
  if (ask === "team") {
    await tool.execute("call", call, undefined, undefined, context);
  } else if (ask === "cancel") {
    const asked = tool.execute("call", { action: "cancel", ...call }, undefined, undefined, context);
    // refused where the run has ended meanwhile, or is on its way to another owner
    const heard = await asked.then(
      (result) => !result.isError,
      () => false,
    );
    tell({ told: "cancel", ...call, heard });
  } else if (ask === "again") {
    const asked = tool.execute("call", call, undefined, undefined, context);
    await asked.then(
      () => tell({ told: "again", refusal: null }),
      ({ message }) => tell({ told: "again", refusal: message }),
    );
  } else if (ask === "replace") {
    await happened("session_shutdown", { reason: "new" });
    context = contextOf(randomUUID());
    await happened("session_start", { reason: "new" });
  }
}

async function quit() {
  await happened("session_shutdown", { reason: "quit" });
  exit(0);
}

function tell(message) {
  if (process.connected) process.send(message, undefined, undefined, () => undefined);
}

function fail(error) {
  tell({ told: "error", text: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
process.on("message", (message) => take(message).catch(fail));
process.on("disconnect", () => quit().catch(fail));
const jiti = createJiti(import.meta.url, { moduleCache: false, tryNative: false });
const { default: extension } = await jiti.import("../../../index.ts");
extension(pi);
await happened("session_start", { reason: "startup" });
tell({ told: "open" });
