import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import type { AgentFolder } from "./agent-folder.ts";
import { currentHost, type Host } from "./host-paths.ts";
import { readLines } from "./json-lines.ts";

/** A line of the host's output. Fields depend on `type`; read them through `field`s you know. */
// biome-ignore lint/suspicious/noExplicitAny: the host's protocol, judged by the tests themselves
export type HostEvent = { type: string } & Record<string, any>;

export type DialogAnswer = { value: string } | { confirmed: boolean } | { cancelled: true };

export interface HostExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface RpcHostOptions {
  agentFolder: AgentFolder;
  /** The agent folder's own project unless given. */
  projectFolder?: string;
  /** Paths for `-e`. */
  extensions?: string[];
  args?: string[];
  env?: Record<string, string>;
  host?: Host;
  /** Answers dialogs (`select confirm input editor`); null leaves one open for `answer`. Cancels unless given. */
  answerDialog?: (request: HostEvent) => DialogAnswer | null;
}

/** What a command did, as a client of the protocol sees it. */
export interface CommandOutput {
  response: HostEvent;
  /** Texts of ctx.ui.notify, in order. */
  notices: string[];
  /** All extension_ui_request lines. */
  requests: HostEvent[];
  /** Custom messages sent with pi.sendMessage. */
  messages: HostEvent[];
  /** Errors the command or a handler threw. */
  errors: HostEvent[];
}

const updatePrefix = '{"type":"message_update"';
const dialogMethods = new Set(["select", "confirm", "input", "editor"]);
const defaultTimeoutMs = 20_000;

/** Drives `pi --mode rpc`. The child leads its own process group (`pid`). */
export class RpcHost {
  /** All lines but message_update, as they came. */
  readonly events: HostEvent[] = [];
  /** Lines that are not JSON; the host should print none. */
  readonly strayLines: string[] = [];
  readonly pid: number;
  readonly exit: Promise<HostExit>;
  /** message_update lines dropped unparsed. */
  updates = 0;
  updateBytes = 0;
  stderr = "";
  answerDialog: (request: HostEvent) => DialogAnswer | null;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #watchers = new Set<() => void>();
  #exited: HostExit | null = null;
  #nextId = 1;

  /** Starts the host and waits until it answers. */
  static async start(options: RpcHostOptions): Promise<RpcHost> {
    const rpc = new RpcHost(options);
    try {
      await rpc.send({ type: "get_state" }, 30_000);
    } catch (error) {
      rpc.kill("SIGKILL");
      await rpc.exit;
      throw error;
    }
    return rpc;
  }

  private constructor(options: RpcHostOptions) {
    const { agentFolder, extensions = [], args = [], host = currentHost() } = options;
    this.answerDialog = options.answerDialog ?? (() => ({ cancelled: true }));
    const flags = extensions.flatMap((path) => ["-e", path]);
    this.#child = spawn(host.node, [host.cli, "--mode", "rpc", ...flags, ...args], {
      cwd: options.projectFolder ?? agentFolder.project,
      env: { ...agentFolder.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
      detached: true,
    });
    this.pid = this.#child.pid ?? -1;
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.#child.stdin.on("error", (error) => {
      this.stderr += `[stdin: ${error.message}]\n`;
    });
    readLines(this.#child.stdout, (line) => this.#hear(line));
    this.exit = new Promise((resolve) => {
      const ended = (exit: HostExit) => {
        this.#exited = exit;
        this.#look();
        resolve(exit);
      };
      this.#child.once("error", (error) => {
        this.stderr += `[spawn: ${error.message}]\n`;
        ended({ code: null, signal: null });
      });
      this.#child.once("close", (code, signal) => ended({ code, signal }));
    });
  }

  /** Null while the host runs. */
  get exited(): HostExit | null {
    return this.#exited;
  }

  /** Sends a command and resolves with its response, success or not. A prompt is answered when it was accepted. */
  send(command: { type: string } & Record<string, unknown>, timeoutMs = defaultTimeoutMs): Promise<HostEvent> {
    const id = `t${this.#nextId++}`;
    this.write({ ...command, id });
    return this.waitFor((event) => event.type === "response" && event["id"] === id, timeoutMs);
  }

  /** Writes one line; nothing is awaited. */
  write(line: Record<string, unknown>): void {
    if (!this.#exited) this.#child.stdin.write(`${JSON.stringify(line)}\n`);
  }

  /** Answers a dialog that `answerDialog` left open. */
  answer(id: string, answer: DialogAnswer): void {
    this.write({ type: "extension_ui_response", id, ...answer });
  }

  /** The first event that fits, of those from index `from` on (`events.length` = only what is to come). */
  waitFor(fits: (event: HostEvent) => boolean, timeoutMs = defaultTimeoutMs, from = 0): Promise<HostEvent> {
    let next = from;
    return new Promise((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        this.#watchers.delete(look);
      };
      const look = () => {
        while (next < this.events.length) {
          const event = this.events[next++];
          if (!event || !fits(event)) continue;
          settle();
          resolve(event);
          return;
        }
        if (!this.#exited) return;
        settle();
        reject(new Error(`the host ended (${JSON.stringify(this.#exited)}) before the event came\n${this.#recent()}`));
      };
      const timer = setTimeout(() => {
        settle();
        reject(new Error(`no such event within ${timeoutMs} ms\n${this.#recent()}`));
      }, timeoutMs);
      this.#watchers.add(look);
      look();
    });
  }

  /** Sends a prompt; resolves with its agent_end. (With the host's retry on there is one agent_end for each try.) */
  async prompt(text: string, timeoutMs = 60_000): Promise<HostEvent> {
    const from = this.events.length;
    const response = await this.send({ type: "prompt", message: text }, timeoutMs);
    if (!response["success"]) throw new Error(`the host refused the prompt: ${response["error"]}`);
    return this.waitFor((event) => event.type === "agent_end", timeoutMs, from);
  }

  /** Runs an extension's command to its end ("/team-status"); the response comes after its handler. */
  async command(text: string, timeoutMs = defaultTimeoutMs): Promise<CommandOutput> {
    const from = this.events.length;
    const response = await this.send({ type: "prompt", message: text }, timeoutMs);
    const events = this.events.slice(from);
    const requests = events.filter((event) => event.type === "extension_ui_request");
    return {
      response,
      requests,
      notices: requests.filter((event) => event["method"] === "notify").map((event) => String(event["message"])),
      messages: events
        .filter((event) => event.type === "message_end" && event["message"].role === "custom")
        .map((event) => event["message"] as HostEvent),
      errors: events.filter((event) => event.type === "extension_error"),
    };
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#exited) this.#child.kill(signal);
  }

  /** Ends the host by closing its stdin; kills it and throws when that takes longer than `timeoutMs`. */
  async close(timeoutMs = defaultTimeoutMs): Promise<HostExit> {
    let late = false;
    this.#child.stdin.end();
    const timer = setTimeout(() => {
      late = true;
      this.kill("SIGKILL");
    }, timeoutMs);
    const exit = await this.exit;
    clearTimeout(timer);
    if (late) throw new Error(`the host did not end within ${timeoutMs} ms of stdin's end\n${this.#recent()}`);
    return exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #hear(line: string): void {
    if (line.startsWith(updatePrefix)) {
      this.updates += 1;
      this.updateBytes += line.length;
      return;
    }
    if (!line.trim()) return;
    let event: HostEvent;
    try {
      event = JSON.parse(line) as HostEvent;
    } catch {
      this.strayLines.push(line);
      return;
    }
    this.events.push(event);
    if (event.type === "extension_ui_request" && dialogMethods.has(event["method"])) {
      const answer = this.answerDialog(event);
      if (answer) this.answer(event["id"], answer);
    }
    this.#look();
  }

  #look(): void {
    for (const look of [...this.#watchers]) look();
  }

  #recent(): string {
    const last = this.events.slice(-12).map((event) => `  ${JSON.stringify(event).slice(0, 300)}`);
    const stray = this.strayLines.slice(-3).map((line) => `  not JSON: ${line.slice(0, 300)}`);
    return [`last events (${this.events.length} in all):`, ...last, ...stray, "stderr:", this.stderr.slice(-2000)].join(
      "\n",
    );
  }
}
