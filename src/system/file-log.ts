import { dirname } from "node:path";
import type { Redactor } from "./redaction.ts";
import type { AppendHandle, Clock, Files, Log } from "./world.ts";

const LINES_MAX = 10_000;

/**
 * Our own log: JSON lines in a file, opened when there is something to say. A log that can't be written must not
 * disturb what it tells about: such lines are dropped. `context` adds where the code stood (run, task, attempt);
 * `redactor` is asked for with the first line.
 */
export function createFileLog(options: {
  files: Files;
  clock: Pick<Clock, "now">;
  path: string;
  context: () => object | undefined;
  redactor: () => Promise<Redactor>;
}): Log & { close(): Promise<void> } {
  const { files, clock, path, context, redactor } = options;
  let handle: AppendHandle | null = null;
  let opening: Promise<Redactor> | null = null;
  let closed = false;
  let lines = 0;

  async function open(): Promise<Redactor> {
    const [mask] = await Promise.all([redactor(), files.makeFolder(dirname(path))]);
    if (!closed) handle = files.openAppend(path);
    return mask;
  }

  function write(level: string, message: string, fields: Record<string, unknown> = {}): void {
    if (closed || ++lines > LINES_MAX) return;
    const at = new Date(clock.now()).toISOString();
    const line = { at, level, message, ...context(), ...fields };
    opening ??= open();
    opening.then((mask) => handle?.write(`${JSON.stringify(mask.value(line))}\n`)).catch(() => undefined);
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
