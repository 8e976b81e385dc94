import { codeOf, UserError } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import type { Exporter } from "./exporter.ts";
import { Exposition } from "./exposition.ts";

/** The collector is another user. */
const READABLE_BY_ALL = 0o644;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "its folder does not exist; create it.",
  EACCES: "you may not write to its folder; allow it, or name another.",
  EROFS: "its file system is read-only; name another folder.",
};

/**
 * Writes one registry's snapshots to a file for the textfile collector of Prometheus' node_exporter, each time as a
 * whole. The file's name ends in `.prom`, which is added when it does not. A machine can have one: the collector
 * refuses a second with the same metrics.
 */
export function createTextfileExporter(files: Pick<Files, "writeAtomic">, path: string): Exporter {
  const exposition = new Exposition("text");
  const target = path.endsWith(".prom") ? path : `${path}.prom`;
  let last: Promise<void> = Promise.resolve();
  return {
    name: "textfile",
    push: (snapshot) => {
      const written = write(files, target, exposition.render(snapshot));
      last = written.catch(() => undefined);
      return written;
    },
    dispose: () => last,
  };
}

async function write(files: Pick<Files, "writeAtomic">, path: string, text: string): Promise<void> {
  try {
    await files.writeAtomic(path, text, READABLE_BY_ALL);
  } catch (error) {
    const reason = REASONS[codeOf(error)];
    if (reason === undefined) throw error;
    throw new UserError("textfile", `Metrics can't be written to ${path}: ${reason}`, { cause: error });
  }
}
