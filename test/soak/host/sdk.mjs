// What a worker loads in place of the host's SDK: sessions that follow a script instead of asking a model. The wrapper
// around them is the real one. Each session tells the ledger when it begins, and that it is done as its last act.
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { env, exit, pid } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";

/** How an attempt goes, and how often of a thousand. */
const ACTS = [
  ["done", 782],
  ["transient", 110],
  ["permanent", 15],
  ["exit", 30],
  ["throw", 30],
  ["tool", 30],
  ["late", 3],
];
const SLICE_MS = 20;

export const SessionManager = { inMemory: (cwd) => ({ cwd }) };
export const SettingsManager = { create: () => ({}) };

export async function createAgentSessionServices() {
  return {
    modelRegistry: { getAvailable: () => [{ provider: "scripted", id: "script" }] },
    resourceLoader: { getExtensions: () => ({ errors: [] }), getSkills: () => ({ skills: [] }) },
    diagnostics: [],
  };
}

export async function createAgentSessionFromServices() {
  return { session: new ScriptedSession() };
}

class ScriptedSession {
  sessionManager = { getHeader: () => ({ type: "session", version: 3, id: "scripted" }) };
  extensionRunner = { hasHandlers: () => false, emit: () => undefined };
  #listeners = new Set();
  #aborted = false;

  bindExtensions = async () => undefined;
  getActiveToolNames = () => [];
  setActiveToolsByName = () => undefined;
  dispose = () => undefined;

  subscribe(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async abort() {
    this.#aborted = true;
  }

  async prompt(text) {
    const attempt = attemptUnderWay();
    const dice = diceOf(`${/SEED:\d+/.exec(text)?.[0]} ${attempt.taskId} ${attempt.attempt}`);
    const act = frailAct(text, attempt) ?? actOf(dice());
    note({ kind: "begin", ...attempt, pid, act });
    if (dice() < 0.15) leaveOrphan();
    await this.#work(dice() < 0.12 ? 300 + 500 * dice() : 80 * dice());
    if (act === "tool") await this.#useTool();
    if (act === "late") await this.#work(60_000);
    if (this.#aborted) return this.#say("aborted", "", "aborted");
    if (act === "transient") return this.#say("error", "", "503 service unavailable, as scripted");
    if (act === "permanent") return this.#say("error", "", "400 invalid request, as scripted");
    if (act === "exit") exit(3);
    if (act === "throw") {
      setImmediate(throwScripted);
      await this.#work(60_000);
      return this.#say("aborted", "", "aborted");
    }
    note({ kind: "effect", ...attempt, pid });
    this.#say("stop", `${attempt.taskId} is done by ${attempt.workerId}`);
  }

  async #work(ms) {
    for (let left = ms; left > 0 && !this.#aborted; left -= SLICE_MS) await sleep(Math.min(left, SLICE_MS));
  }

  async #useTool() {
    this.#tell({ type: "tool_execution_start", toolCallId: "t", toolName: "bash" });
    const tool = spawn("sleep", ["0.3"], { detached: true, stdio: "ignore" });
    const code = await new Promise((resolve) => tool.once("exit", resolve));
    this.#tell({ type: "tool_execution_end", toolCallId: "t", toolName: "bash", isError: code !== 0 });
  }

  #say(stopReason, text, errorMessage) {
    const usage = { input: 3, output: 2, cacheRead: 0, cacheWrite: 0, cost: { total: 0.001 } };
    const content = [{ type: "text", text }];
    const base = { role: "assistant", provider: "scripted", model: "script", content, stopReason, usage };
    this.#tell({ type: "message_end", message: errorMessage ? { ...base, errorMessage } : base });
    this.#tell({ type: "turn_end" });
  }

  #tell(event) {
    for (const listener of this.#listeners) listener(event);
  }
}

/** The wrapper says in the environment whose turn it is. */
function attemptUnderWay() {
  const [runId, taskId, id] = env.FOREMAN_ATTEMPT.split("/");
  return { runId, taskId, attempt: Number(id.slice(1)), workerId: env.FOREMAN_WORKER };
}

/** In a frail run by lot for each run anew, and then the same for all tries of a task; null where it goes as ever. */
function frailAct(text, { runId, taskId }) {
  if (!/SEED:\d+ FRAIL/.test(text)) return null;
  const chance = diceOf(`${runId} ${taskId}`)();
  if (chance < 0.12) return "transient";
  return chance < 0.2 ? "permanent" : null;
}

function actOf(chance) {
  let left = chance * 1000;
  for (const [act, weight] of ACTS) {
    left -= weight;
    if (left < 0) return act;
  }
  return "done";
}

/** Two processes that outlive their parents and each other: whoever ends the attempt has to find them. */
function leaveOrphan() {
  const shell = spawn("sh", ["-c", "sleep 600 & setsid sleep 600 & exit 0"], { detached: true, stdio: "ignore" });
  shell.unref();
}

function throwScripted() {
  throw new Error("thrown where nobody listens, as scripted");
}

function note(line) {
  appendFileSync(env.SOAK_LEDGER, `${JSON.stringify(line)}\n`);
}

/** The same chances for the same attempt, whoever does it. FNV-1a, stirred by a multiply-xorshift. */
function diceOf(words) {
  let state = 0x811c9dc5;
  for (const char of words) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
