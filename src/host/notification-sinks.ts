import { join } from "node:path";
import { createWebhook } from "../export/webhook.ts";
import { cutText, safeText } from "../system/safe-text.ts";
import type { AppendHandle, Clock, Files, Processes, World } from "../system/world.ts";
import type { NotificationConfig } from "./notification-config.ts";
import type { Notice, NotificationSink } from "./notification-router.ts";
import type { Severity } from "./output.ts";

const COMMAND_TIMEOUT_MS = 10_000;
const DAY_BYTES_MAX = 10 * 1024 * 1024;
const DAYS_KEPT = 30;
const DAY_MS = 86_400_000;
const LINE_FEED = 0x0a;

/** The sinks a configuration asks for. `command` and `webhookUrl` must come from the user's own file. */
export function notificationSinks(
  config: Pick<NotificationConfig, "file" | "command" | "webhookUrl">,
  parts: { world: World; crewRoot: string; cwd: string; show: (text: string, severity: Severity) => void },
): { record: NotificationSink | null; alerts: NotificationSink[] } {
  const { world, crewRoot, cwd, show } = parts;
  const alerts = [hostSink(show)];
  if (config.command.length > 0) alerts.push(commandSink(world.processes, config.command, cwd));
  if (config.webhookUrl !== "") alerts.push(webhookSink(config.webhookUrl, world.clock));
  const folder = join(crewRoot, "state", "notifications");
  return { record: config.file ? new NotificationFile(world, folder) : null, alerts };
}

/** Pi's own notice. */
export function hostSink(show: (text: string, severity: Severity) => void): NotificationSink {
  return { name: "Pi", send: async ({ message, severity }) => show(message, severity) };
}

/** The program gets the text as its last argument, beginning with the severity in brackets: never an option. */
export function commandSink(processes: Pick<Processes, "run">, argv: readonly string[], cwd: string): NotificationSink {
  const [command = "", ...args] = argv;
  return {
    name: "the notification command",
    async send({ severity, message }) {
      const text = `[${severity}] pi-foreman: ${message}`;
      const { code, stderr } = await processes.run(command, [...args, text], { cwd, timeoutMs: COMMAND_TIMEOUT_MS });
      if (code === 0) return;
      const said = cutText(safeText(stderr.trim(), { multiline: false }), 300);
      throw new Error(`${command} ${code === null ? "did not end by itself" : `ended with ${code}`}: ${said}`);
    },
  };
}

export function webhookSink(url: string, clock: Pick<Clock, "after">): NotificationSink {
  return {
    name: "the notification webhook",
    async send({ id, severity, source, message, runId, at }) {
      const text = `[${severity}] ${message}`;
      const time = new Date(at).toISOString();
      // `text` is what chat services show
      await createWebhook({ url, clock }).post({ text, id, severity, source, message, runId, at: time });
    },
  };
}

/**
 * `YYYY-MM-DD.jsonl`, by UTC: one notice a line, appended in one write, so that sessions may share a file. 30 days are
 * kept and 10 MB a day.
 */
export class NotificationFile implements NotificationSink {
  readonly name = "the notification file";
  readonly #files: Files;
  readonly #folder: string;
  #open: { day: string; handle: AppendHandle } | null = null;
  #turn: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(world: { files: Files }, folder: string) {
    this.#files = world.files;
    this.#folder = folder;
  }

  send(notice: Notice): Promise<void> {
    const written = this.#turn.then(() => this.#write(notice));
    this.#turn = written.catch(() => undefined);
    return written;
  }

  close(): void {
    this.#closed = true;
    this.#open?.handle.close();
    this.#open = null;
  }

  async #write({ at, id, severity, source, message, runId }: Notice): Promise<void> {
    const time = new Date(at).toISOString();
    const day = time.slice(0, 10);
    if (this.#open?.day !== day) await this.#openDay(day, at);
    const path = this.#path(day);
    const bytes = (await this.#files.facts(path))?.bytes ?? 0;
    const end = bytes === 0 ? null : await this.#files.readRange(path, bytes - 1, 1);
    const run = runId === null ? {} : { runId };
    const line = `${JSON.stringify({ at: time, severity, source, id, message, ...run })}\n`;
    if (bytes + Buffer.byteLength(line) > DAY_BYTES_MAX) throw new Error(`${path} has ${bytes} bytes already`);
    // another session's torn line must not swallow ours
    const lead = end === null || end[0] === LINE_FEED ? "" : "\n";
    this.#open?.handle.write(lead + line);
  }

  async #openDay(day: string, now: number): Promise<void> {
    await this.#files.makeFolder(this.#folder);
    const kind = (await this.#files.facts(this.#folder))?.kind;
    if (kind !== "directory") throw new Error(`${this.#folder} is a ${kind}, not a folder`);
    if (this.#closed) return;
    this.#open?.handle.close();
    this.#open = null;
    this.#open = { day, handle: this.#files.openAppend(this.#path(day)) };
    await this.#removeOld(now);
  }

  #path(day: string): string {
    return join(this.#folder, `${day}.jsonl`);
  }

  async #removeOld(now: number): Promise<void> {
    const first = new Date(now - DAYS_KEPT * DAY_MS).toISOString().slice(0, 10);
    for (const name of await this.#files.list(this.#folder))
      if (/^\d{4}-\d\d-\d\d\.jsonl$/.test(name) && name.slice(0, 10) < first)
        await this.#files.remove(join(this.#folder, name));
  }
}
