import { writeSync } from "node:fs";
import type { ExtensionAPI, ExtensionContext } from "@mariozechner/pi-coding-agent";
import { readHostArguments } from "./host-process.ts";

export type Severity = "info" | "warning" | "error";

/** `mode` came with the host's 0.78.1; before that the command line tells. */
type MaybeMode = { mode?: "tui" | "rpc" | "json" | "print" };

/**
 * Shows a command's text where its user looks: the chat in the TUI, a notice over RPC, a custom message in JSON mode,
 * standard output in print mode (the host sends console.log to standard error there).
 */
export function say(pi: ExtensionAPI, ctx: ExtensionContext, text: string, severity: Severity = "info"): void {
  if (ctx.hasUI) ctx.ui.notify(text, severity);
  else if (modeOf(ctx) === "json") pi.sendMessage({ customType: "foreman", content: text, display: true });
  else writeSync(severity === "info" ? 1 : 2, `${text}\n`);
}

export function modeOf(ctx: ExtensionContext): "tui" | "rpc" | "json" | "print" {
  const told = (ctx as MaybeMode).mode;
  if (told) return told;
  const { mode } = readHostArguments(process.argv, ctx.cwd);
  if (mode === "rpc" || mode === "json") return mode;
  return ctx.hasUI ? "tui" : "print";
}

/** Columns to draw for; 100 where nobody says. */
export function outputWidth(): number {
  return Math.max(40, (process.stdout.columns ?? 100) - 2);
}
