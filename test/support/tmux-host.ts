import { type ChildProcessByStdio, execFile, execFileSync, spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { AgentFolder } from "./agent-folder.ts";
import { currentHost, type Host } from "./host-paths.ts";

const run = promisify(execFile);

/** Why TUI tests can't run here; null when they can: `test.skipIf(tmuxMissing !== null)`. */
export const tmuxMissing: string | null = findTmux();

export interface TmuxHostOptions {
  agentFolder: AgentFolder;
  columns?: number;
  rows?: number;
  projectFolder?: string;
  extensions?: string[];
  args?: string[];
  env?: Record<string, string>;
  host?: Host;
}

/** Notes the host's pid and, at its end, its status: tmux itself does not tell reliably. */
const launcher = `sh -c 'echo $$ >"$0/pid"; exec "$@"' "$0" "$@"; echo $? >"$0/status"`;

/** The real TUI in a tmux server of its own. */
export class TmuxHost {
  readonly #folder: string;
  readonly #pane: string;
  readonly #project: string;

  static async start(options: TmuxHostOptions): Promise<TmuxHost> {
    if (tmuxMissing) throw new Error(tmuxMissing);
    const { agentFolder, columns = 100, rows = 32, extensions = [], args = [], host = currentHost() } = options;
    const folder = await mkdtemp(join(tmpdir(), "ft-")); // short: it holds the socket
    const config = [
      "set -g remain-on-exit on", // so that exit code and last words can be read
      "set -g status off",
      "set -g default-terminal tmux-256color",
      "set -g history-limit 20000",
      "set -s escape-time 0",
    ];
    await writeFile(join(folder, "tmux.conf"), `${config.join("\n")}\n`);
    const env = { ...agentFolder.env, ...options.env, TERM: "tmux-256color", COLORTERM: "truecolor" };
    const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const flags = extensions.flatMap((path) => ["-e", path]);
    const size = ["-x", String(columns), "-y", String(rows)];
    const cwd = options.projectFolder ?? agentFolder.project;
    const tmux = new TmuxHost(folder, basename(cwd));
    await tmux.#tmux(
      "new-session",
      "-d",
      "-s",
      "pi",
      ...size,
      "-c",
      cwd,
      "--",
      "sh",
      "-c",
      launcher,
      folder,
      "env",
      "-i",
      ...pairs,
      host.node,
      host.cli,
      ...flags,
      ...args,
    );
    return tmux;
  }

  private constructor(folder: string, project: string) {
    this.#folder = folder;
    this.#project = project;
    this.#pane = "pi:0.0";
  }

  /**
   * Waits until Pi takes commands. It sets the terminal's title once the extensions' session_start has ended, so
   * don't call this where a handler of session_start asks the user something.
   */
  async ready(timeoutMs = 30_000): Promise<this> {
    const title = async () => ((await this.#display("#{pane_title}")).endsWith(` - ${this.#project}`) ? true : null);
    await this.#poll(title, timeoutMs, "the end of Pi's start");
    return this;
  }

  /** Types text as it stands, without Enter. */
  async sendText(text: string): Promise<void> {
    await this.#tmux("send-keys", "-t", this.#pane, "-l", "--", text);
  }

  /** Keys by tmux's names: Enter, Escape, Up, C-c, M-x, F9, … */
  async sendKeys(...keys: string[]): Promise<void> {
    await this.#tmux("send-keys", "-t", this.#pane, "--", ...keys);
  }

  /** Types a line and waits until it is on the screen, then presses Enter. */
  async submit(text: string): Promise<void> {
    await this.sendText(text);
    await this.waitForText(text.slice(0, 30));
    await this.sendKeys("Enter");
  }

  /** The screen, lines without trailing blanks; with escape sequences or with what has scrolled off, if asked. */
  async capture(options: { escapes?: boolean; history?: boolean } = {}): Promise<string> {
    const flags = [...(options.escapes ? ["-e"] : []), ...(options.history ? ["-S", "-"] : [])];
    const screen = await this.#tmux("capture-pane", "-p", ...flags, "-t", this.#pane);
    return screen.replace(/[ \t]+$/gm, "").trimEnd();
  }

  /** Polls the screen (tmux tells of no change) until the text or pattern is there; resolves with the screen. */
  async waitForText(wanted: string | RegExp, timeoutMs = 20_000): Promise<string> {
    return this.waitFor((screen) => (typeof wanted === "string" ? screen.includes(wanted) : wanted.test(screen)), {
      timeoutMs,
      what: String(wanted),
    });
  }

  waitFor(fits: (screen: string) => boolean, options: { timeoutMs?: number; what?: string } = {}): Promise<string> {
    const look = async () => {
      const screen = await this.capture();
      return fits(screen) ? screen : null;
    };
    return this.#poll(look, options.timeoutMs ?? 20_000, options.what ?? "the screen");
  }

  /** Presses keys one after the other through a client that stays: a new one takes longer than Pi does. */
  async typist(): Promise<Typist> {
    const args = ["-S", join(this.#folder, "s"), "-C", "attach-session", "-f", "ignore-size", "-t", "pi"];
    return new Typist(spawn("tmux", args, { stdio: ["pipe", "pipe", "ignore"] }), this.#pane);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux("resize-window", "-t", "pi", "-x", String(columns), "-y", String(rows));
  }

  /** The host's process. */
  async pid(): Promise<number> {
    return Number(await this.#poll(() => this.#note("pid"), 5000, "the host's pid"));
  }

  /** The exit code as a shell gives it, 128 + n for signal n; null while the host runs. */
  async exited(): Promise<number | null> {
    const status = await this.#note("status");
    return status === null ? null : Number(status);
  }

  async waitForExit(timeoutMs = 10_000): Promise<number> {
    return this.#poll(() => this.exited(), timeoutMs, "the end of the TUI");
  }

  /** Ends its own tmux server, and the host with it (SIGHUP). Safe to call twice. */
  async close(): Promise<void> {
    await this.#tmux("kill-server").catch(() => "");
    await rm(this.#folder, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** A line that the launcher wrote. */
  async #note(name: string): Promise<string | null> {
    const text = await readFile(join(this.#folder, name), "utf8").catch(() => "");
    return text.endsWith("\n") ? text.trim() : null;
  }

  async #display(format: string): Promise<string> {
    return (await this.#tmux("display-message", "-p", "-t", this.#pane, format)).trim();
  }

  async #poll<T>(look: () => Promise<T | null>, timeoutMs: number, what: string): Promise<T> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const found = await look();
      if (found !== null) return found;
      if (performance.now() > until) {
        throw new Error(`${what} did not come within ${timeoutMs} ms; the screen:\n${await this.capture()}`);
      }
      await sleep(40);
    }
  }

  async #tmux(...args: string[]): Promise<string> {
    const server = ["-S", join(this.#folder, "s"), "-f", join(this.#folder, "tmux.conf")];
    const { stdout } = await run("tmux", [...server, ...args], { maxBuffer: 16 << 20 });
    return stdout;
  }
}

/** How Pi ends what it draws at one time: synchronized output, as tmux writes it for a control client. */
const FRAME_END = "\\033[?2026l";

/** A client of tmux in its control mode. */
export class Typist implements Disposable {
  readonly #client: ChildProcessByStdio<Writable, Readable, null>;
  readonly #pane: string;
  #drawn: () => void = () => undefined;
  #line = "";
  #tail = "";

  constructor(client: ChildProcessByStdio<Writable, Readable, null>, pane: string) {
    this.#client = client;
    this.#pane = pane;
    client.stdout.setEncoding("utf8").on("data", (text: string) => {
      const lines = (this.#line + text).split("\n");
      this.#line = lines.pop() ?? "";
      for (const line of lines.filter((it) => it.startsWith("%output"))) {
        // what ends a frame may come in two parts
        const output = this.#tail + line.replace(/^%output \S+ /, "");
        this.#tail = output.slice(output.lastIndexOf(FRAME_END) + FRAME_END.length).slice(-FRAME_END.length);
        if (output.includes(FRAME_END)) this.#drawn();
      }
    });
  }

  /** Resolves when the frame that follows has come out of Pi. */
  press(key: string): Promise<void> {
    return new Promise((drawn, failed) => {
      const late = setTimeout(() => failed(new Error(`nothing was drawn for ${key} within 5 s`)), 5000);
      this.#drawn = () => {
        clearTimeout(late);
        drawn();
      };
      this.#client.stdin.write(`send-keys -t ${this.#pane} ${key}\n`);
    });
  }

  [Symbol.dispose](): void {
    this.#client.kill();
  }
}

function findTmux(): string | null {
  try {
    execFileSync("tmux", ["-V"], { stdio: "ignore" });
    return null;
  } catch {
    return "tmux is not installed: tests of the TUI are skipped (apt install tmux).";
  }
}
