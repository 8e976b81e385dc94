import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { MetricsSnapshot, SeriesLabels } from "../metrics/snapshot.ts";
import { codeOf, UserError } from "../system/errors.ts";
import type { Processes, ProcessIdentity, World } from "../system/world.ts";
import type { Exporter } from "./exporter.ts";
import { Exposition } from "./exposition.ts";

/** The collector is another user. */
const READABLE_BY_ALL = 0o644;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "its folder does not exist; create it.",
  EACCES: "you may not write to its folder; allow it, or name another.",
  EROFS: "its file system is read-only; name another folder.",
};

/** The first line of a file: whose it is. */
const OWNER = /^# pi-foreman (\{.*\})\n/;
const OWNER_BYTES_MAX = 4096;

/**
 * Writes one registry's snapshots to a file for the textfile collector of Prometheus' node_exporter, each time as a
 * whole, until disposal removes it. `session`, which no other open session may have, stands in the file's name
 * (`<path without .prom>-<session>.prom`) and is a label of every series: the collector refuses what two files have.
 * Files of sessions whose process has died are removed before the first is written.
 */
export function createTextfileExporter(
  { files, processes }: Pick<World, "files" | "processes">,
  path: string,
  session: string,
): Exporter {
  const exposition = new Exposition("text");
  const stem = `${path.replace(/\.prom$/, "")}-`;
  const target = `${stem}${session.replace(/[^\w-]/g, "_")}.prom`;
  let orphans: Promise<void> | null = null;
  let last: Promise<void> = Promise.resolve();
  return {
    name: "textfile",
    push: (snapshot) => {
      orphans ??= removeOrphans(files, stem, processes).catch(() => undefined);
      const text = `# pi-foreman ${JSON.stringify(ownerOf(processes.self()))}\n${exposition.render(labelled(snapshot, session))}`;
      const written = orphans.then(() => write(files, target, text));
      last = written.catch(() => undefined);
      return written;
    },
    dispose: () => last.then(() => files.remove(target)),
  };
}

/** All may read it, and what names a machine is its owner's own business. */
function ownerOf({ hostId, ...rest }: ProcessIdentity): ProcessIdentity {
  return { hostId: createHash("sha256").update(hostId).digest("hex").slice(0, 16), ...rest };
}

/** Of processes that are provably dead; another machine's stay, and so does what is not ours. */
async function removeOrphans(files: World["files"], stem: string, processes: Processes): Promise<void> {
  const self = processes.self();
  for (const name of await files.list(dirname(stem))) {
    const path = join(dirname(stem), name);
    if (!path.startsWith(stem) || !name.endsWith(".prom")) continue;
    const head = Buffer.from((await files.readRange(path, 0, OWNER_BYTES_MAX)) ?? []).toString("utf8");
    const owner = OWNER.exec(head)?.[1];
    if (owner === undefined) continue;
    const identity = JSON.parse(owner) as ProcessIdentity;
    const isHere = identity.hostId === ownerOf(self).hostId;
    if (isHere && processes.alive({ ...identity, hostId: self.hostId }) === "dead") await files.remove(path);
  }
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

async function write(files: World["files"], path: string, text: string): Promise<void> {
  try {
    await files.replace(path, text, READABLE_BY_ALL);
  } catch (error) {
    const reason = REASONS[codeOf(error)];
    if (reason === undefined) throw error;
    throw new UserError("textfile", `Metrics can't be written to ${path}: ${reason}`, { cause: error });
  }
}
