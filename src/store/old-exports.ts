import { join } from "node:path";
import { messageOf } from "../system/errors.ts";
import type { Files } from "../system/world.ts";
import { exportsFolder } from "./layout.ts";

/** What was exported of runs long ago, first as a preview and then in deed. Runs' own folders are not touched. */

const DAY_MS = 86_400_000;
/** A run's id and the time of the export, UTC to the millisecond. What is called otherwise is somebody else's. */
const NAME = /^[a-z0-9][a-z0-9_-]{0,63}-(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})\.(?:json|html)$/;

export interface ExportFacts {
  name: string;
  bytes: number;
}

export interface ExportPlan {
  /** What would go, the oldest first. */
  remove: readonly ExportFacts[];
  bytes: number;
}

export interface ExportsRemoved {
  removed: readonly string[];
  bytes: number;
  skipped: readonly { name: string; why: string }[];
}

/** The files that were exported more than `olderThanDays` ago. Follows no link. */
export async function planExports(
  files: Files,
  crewRoot: string,
  olderThanDays: number,
  now: number,
): Promise<ExportPlan> {
  const folder = exportsFolder(crewRoot);
  if ((await files.facts(folder))?.kind !== "directory") return { remove: [], bytes: 0 };
  const old = (await files.list(folder)).filter((name) => exportedAt(name) < now - olderThanDays * DAY_MS);
  const found: ExportFacts[] = [];
  for (const name of old.sort((a, b) => exportedAt(a) - exportedAt(b) || (a < b ? -1 : 1))) {
    const facts = await files.facts(join(folder, name));
    if (facts?.kind === "file") found.push({ name, bytes: facts.bytes });
  }
  return { remove: found, bytes: found.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** Removes what the preview named. What can't be removed is told and the others still go. */
export async function applyExports(files: Files, crewRoot: string, plan: ExportPlan): Promise<ExportsRemoved> {
  const folder = exportsFolder(crewRoot);
  const removed: string[] = [];
  const skipped: { name: string; why: string }[] = [];
  let bytes = 0;
  for (const named of plan.remove) {
    const { name } = named;
    try {
      if ((await files.facts(folder))?.kind !== "directory") throw new Error(`${folder} is no real folder any more`);
      if ((await files.facts(join(folder, name)))?.kind !== "file") throw new Error("it is not the file any more");
      await files.remove(join(folder, name));
      removed.push(name);
      bytes += named.bytes;
    } catch (error) {
      skipped.push({ name, why: messageOf(error) });
    }
  }
  return { removed, bytes, skipped };
}

/** Infinity for what is no export. */
function exportedAt(name: string): number {
  const parts = NAME.exec(name)?.slice(1).map(Number);
  if (!parts) return Number.POSITIVE_INFINITY;
  const [year = 0, month = 0, day, hour, minute, second, ms] = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second, ms);
}
