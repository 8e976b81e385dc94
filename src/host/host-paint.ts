import type { Theme } from "@mariozechner/pi-coding-agent";
import type { Paint } from "../views/paint.ts";

/** The host's colours. Its theme is asked at each frame: the user may change it. */
export function paintOf(theme: Theme): Paint {
  return {
    tone: (tone, text) => theme.fg(tone, text),
    bold: (text) => theme.bold(text),
    chosen: (line) => theme.bg("selectedBg", line),
  };
}
