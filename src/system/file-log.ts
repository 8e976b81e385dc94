import { dirname } from "node:path";
import type { AppendHandle, Clock, Files, Log } from "./world.ts";

const LINES_MAX = 10_000;

/**
 * Our own log: JSON lines in a file, opened when there is something to say. A log that can't be written must not
 * disturb what it tells about: such lines are dropped. `context` adds where the code stood (run, task, attempt).
 */
export function createFileLog(options: {
  files: Files;
  clock: Pick<Clock, "now">;
  path: string;
  context: () => object | undefined;
}): Log & { close(): Promise<void> } {
  const { files, clock, path, context } = options;
  let handle: AppendHandle | null = null;
  let opening: Promise<void> | null = null;
  let closed = false;
  let lines = 0;

  async function open(): Promise<void> {
    await files.makeFolder(dirname(path));
    if (!closed) handle = files.openAppend(path);
  }

  function write(level: string, message: string, fields: Record<string, unknown> = {}): void {
    if (closed || ++lines > LINES_MAX) return;
    const at = new Date(clock.now()).toISOString();
    const line = `${JSON.stringify({ at, level, message, ...context(), ...fields })}\n`;
    opening ??= open();
    opening.then(() => handle?.write(line)).catch(() => undefined);
  }

  return {
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
    // what was said last is written before
    close: async () => {
      await opening?.catch(() => undefined);
      closed = true;
      handle?.close();
    },
  };
}
