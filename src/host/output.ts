import { Writable } from "node:stream";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { safeText } from "../system/safe-text.ts";
import { readHostArguments } from "./host-process.ts";

export type Severity = "info" | "warning" | "error";

/** `mode` came with the host's 0.78.1; before that the command line tells. */
type MaybeMode = { mode?: Mode };

export type Mode = "tui" | "rpc" | "json" | "print";

const RPC_ANSWER_MS = 120_000;

/** Ends the dim grey in which the host draws a notice, so that tables can be read. */
const UNDIMMED = "\x1b[22m\x1b[39m";

/**
 * Shows a command's text where its user looks: the chat in the TUI, a notice over RPC, a custom message in JSON mode,
 * standard output in print mode. Resolves when the text is out. Nothing in the text can steer the terminal.
 */
export async function say(
  pi: ExtensionAPI,
  ctx: ExtensionContext,
  given: string,
  severity: Severity = "info",
): Promise<void> {
  const text = safeText(given, { multiline: true });
  const mode = modeOf(ctx);
  if (mode === "tui" && severity === "info")
    ctx.ui.notify(
      text
        .split("\n")
        .map((line) => UNDIMMED + line)
        .join("\n"),
      severity,
    );
  else if (ctx.hasUI) ctx.ui.notify(text, severity);
  else if (mode === "json") pi.sendMessage({ customType: "foreman", content: text, display: true });
  else await print(severity === "info" ? process.stdout : process.stderr, `${text}\n`);
}

/** A line on standard error, in whatever mode: to be called when the host has given the terminal back. */
export async function printError(text: string): Promise<void> {
  await print(process.stderr, `${safeText(text, { multiline: false })}\n`);
}

/** The host puts its own `write` on the instance, which sends everything to standard error. */
function print(stream: NodeJS.WriteStream, text: string): Promise<void> {
  return new Promise((resolve) => {
    Writable.prototype.write.call(stream, text, "utf8", () => resolve());
  });
}

export function modeOf(ctx: ExtensionContext): Mode {
  const told = (ctx as MaybeMode).mode;
  if (told) return told;
  // only the TUI has themes; and only the command line tells JSON from print
  if (ctx.hasUI) return ctx.ui.getAllThemes().length > 0 ? "tui" : "rpc";
  return readHostArguments(process.argv, ctx.cwd).json ? "json" : "print";
}

/** Of a dialog that a command opens. A client may show none over RPC, and would never answer: the text then comes by itself. */
export function dialogLimit(ctx: ExtensionContext): { timeout?: number } {
  return modeOf(ctx) === "rpc" ? { timeout: RPC_ANSWER_MS } : {};
}

/** Columns to draw for; 100 where nobody says. */
export function outputWidth(): number {
  return Math.max(40, (process.stdout.columns ?? 100) - 2);
}
