import { codeOf, messageOf } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import type { CommandOrder, World } from "../system/world.ts";
import { blocked, cancelled, failed, type PiVerdict, timedOut } from "./pi-outcome.ts";
import { commandGraceMs } from "./wrapper-messages.ts";

/** A program within an attempt: started, followed, ended with all it started. */

/** Of each output. */
const tailBytesMax = 16 * 1024;
/** An event's error has room for 2,000 characters. */
const errorOutputCharsMax = 1500;
/** For what has left the command's group and still holds its outputs. */
const drainMs = 500;

export interface CommandEnd {
  /** Null when it did not exit by itself. */
  code: number | null;
  signal: string | null;
  /** Why it could not be started; null when it was. */
  failure: unknown;
  /** The end of stdout, and of both in the order in which they came; only what prints. */
  stdout: string;
  output: string;
}

export type CommandParts = Pick<World, "clock" | "processes" | "files">;

/**
 * Runs to its end what was ordered. An abort is TERM to the whole group, and KILL when that is not over in time; what
 * the command left behind in its group ends with it in any case. Never rejects.
 */
export async function runCommand(
  { clock, processes }: CommandParts,
  order: CommandOrder,
  signal: AbortSignal,
): Promise<CommandEnd> {
  const [out, both] = [new Tail(), new Tail()];
  const nothing = { code: null, signal: null, stdout: "", output: "" };
  if (signal.aborted) return { ...nothing, failure: null };
  let command: ReturnType<World["processes"]["start"]>;
  try {
    command = processes.start({
      ...order,
      onStdout: (bytes) => {
        out.push(bytes);
        both.push(bytes);
        order.onStdout(bytes);
      },
      onStderr: (bytes) => {
        both.push(bytes);
        order.onStderr(bytes);
      },
    });
  } catch (failure) {
    return { ...nothing, failure };
  }
  const over = new AbortController();
  let graceOver: Promise<void> | null = null;
  const stop = () => {
    processes.killGroup(command.pid, "SIGTERM");
    graceOver ??= clock.sleep(commandGraceMs, over.signal).then(() => {
      if (!over.signal.aborted) processes.killGroup(command.pid, "SIGKILL");
    });
  };
  signal.addEventListener("abort", stop, { once: true });
  const exit = await command.exited;
  // its children may be putting their things in order
  if (signal.aborted) await Promise.race([command.drained, graceOver]);
  signal.removeEventListener("abort", stop);
  if (command.pid > 0) processes.killGroup(command.pid, "SIGKILL");
  await Promise.race([command.drained, clock.sleep(drainMs, over.signal)]);
  over.abort();
  command.release();
  return { ...exit, stdout: out.text(), output: both.text() };
}

/** What both kinds of shell need: the text as it stands, nothing filled in. */
export function shellOrder(text: string): Pick<CommandOrder, "command" | "args" | "verbatim"> {
  if (process.platform === "win32")
    return { command: "cmd.exe", args: ["/d", "/s", "/c", `"${text}"`], verbatim: true };
  return { command: "/bin/sh", args: ["-c", text], verbatim: false };
}

/** How a command ended that did not exit by itself; null when it did. `install` names what to do about a missing one. */
export async function strangeEnd(
  { files }: CommandParts,
  end: CommandEnd,
  order: { command: string; cwd: string; install: string; timeoutSec: number | null },
  signal: AbortSignal,
): Promise<PiVerdict | null> {
  if (signal.aborted) return signal.reason === "timeout" ? timedOut(order.timeoutSec) : cancelled();
  if (end.failure !== null) {
    if ((await files.facts(order.cwd)) === null)
      return failed("permanent", "work-folder", `The work folder ${order.cwd} is not there.`);
    const missing = codeOf(end.failure) === "ENOENT";
    const message = `${order.command} could not be started: ${messageOf(end.failure)}.`;
    return missing
      ? blocked("missing-program", `${order.command} is not there. ${order.install}`)
      : failed("permanent", "spawn", message);
  }
  if (end.code !== null) return null;
  return failed("transient", "signal", withOutput(`The command was ended by ${end.signal ?? "a signal"}`, end.output));
}

/** As much of the output's end as an error has room for. */
export function withOutput(sentence: string, output: string): string {
  const shown = endOf(output, errorOutputCharsMax);
  return shown === "" ? `${sentence}.` : `${sentence}:\n${shown}`;
}

/** The last characters of a text, whole words: half a word may be half a secret, which nobody would know for one. */
export function endOf(text: string, charsMax: number): string {
  return (text.length <= charsMax ? text : text.slice(-charsMax).replace(/^\S*\s?/, "")).trim();
}

/** The last bytes of an output. */
class Tail {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #cut = false;

  push(chunk: Uint8Array): void {
    const kept = chunk.byteLength > tailBytesMax ? chunk.slice(-tailBytesMax) : chunk;
    this.#cut ||= kept !== chunk;
    this.#chunks.push(kept);
    this.#bytes += kept.byteLength;
    while (this.#bytes - (this.#chunks[0]?.byteLength ?? 0) >= tailBytesMax) {
      this.#bytes -= this.#chunks.shift()?.byteLength ?? 0;
      this.#cut = true;
    }
  }

  text(): string {
    const bytes = Buffer.concat(this.#chunks);
    const last = bytes.subarray(-tailBytesMax);
    const cut = this.#cut || last.byteLength < bytes.byteLength;
    const text = safeText(last.toString("utf8"), { multiline: true });
    return cut ? endOf(text, text.length - 1) : text.trim();
  }
}
