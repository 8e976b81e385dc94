import type { MetricsSnapshot, SeriesLabels } from "../metrics/snapshot.ts";
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
 * whole, until disposal removes it. `session`, which no other open session may have, stands in the file's name
 * (`<path without .prom>-<session>.prom`) and is a label of every series: the collector refuses what two files have.
 */
export function createTextfileExporter(
  files: Pick<Files, "writeAtomic" | "remove">,
  path: string,
  session: string,
): Exporter {
  const exposition = new Exposition("text");
  const target = `${path.replace(/\.prom$/, "")}-${session.replace(/[^\w-]/g, "_")}.prom`;
  let last: Promise<void> = Promise.resolve();
  return {
    name: "textfile",
    push: (snapshot) => {
      const written = write(files, target, exposition.render(labelled(snapshot, session)));
      last = written.catch(() => undefined);
      return written;
    },
    dispose: () => last.then(() => files.remove(target)),
  };
}

/** A metric's own label of that name stays. */
function labelled(snapshot: MetricsSnapshot, session: string): MetricsSnapshot {
  const withSession = <S extends { labels: SeriesLabels }>(series: readonly S[]): S[] =>
    series.map((one) => ({ ...one, labels: { session, ...one.labels } }));
  return snapshot.map((metric) =>
    metric.kind === "histogram"
      ? { ...metric, series: withSession(metric.series) }
      : { ...metric, series: withSession(metric.series) },
  );
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
