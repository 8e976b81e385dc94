import { createHash } from "node:crypto";
import { dirname, join } from "node:path";
import type { ArtifactRecord } from "../events/crew-event.ts";
import { isArtifactName } from "../runs/definitions.ts";
import { UserError } from "../system/errors.ts";
import { makeRealFolder } from "../system/real-folder.ts";
import { FILE_BYTES_MAX, type Files } from "../system/world.ts";

/** Files that steps hand over: out of a work folder into the attempt's, and from there into the run's. */

/**
 * Copies what a step names in `output` to `artifacts/` of the attempt's folder. Throws a UserError when one is missing,
 * too large, no regular file, or reached over a link, which could lead out of the work folder.
 */
export async function collectOutputs(
  files: Files,
  workFolder: string,
  names: readonly string[],
  attemptFolder: string,
): Promise<ArtifactRecord[]> {
  const records: ArtifactRecord[] = [];
  for (const name of names) {
    await requireOwnFile(files, workFolder, name);
    records.push(await copyTo(files, attemptFolder, { name, path: join(workFolder, name) }));
  }
  return records;
}

/** What was handed over; null when it is there no more, or is another by now. */
export async function readArtifact(files: Files, { path, artifact_hash }: ArtifactRecord): Promise<Uint8Array | null> {
  const facts = await files.facts(path);
  const bytes = facts?.kind === "file" && facts.bytes <= FILE_BYTES_MAX ? await files.read(path) : null;
  return bytes !== null && hashOf(bytes) === artifact_hash ? bytes : null;
}

/** Copies an attempt's artifacts to `artifacts/` of its run's folder. Throws when one is not what was recorded. */
export async function keepArtifacts(
  files: Files,
  artifacts: readonly ArtifactRecord[],
  runFolder: string,
): Promise<ArtifactRecord[]> {
  const kept: ArtifactRecord[] = [];
  for (const artifact of artifacts) {
    kept.push(await copyTo(files, runFolder, artifact));
  }
  return kept;
}

async function copyTo(
  files: Files,
  folder: string,
  { name, path: from, artifact_hash: known }: Pick<ArtifactRecord, "name" | "path"> & { artifact_hash?: string },
): Promise<ArtifactRecord> {
  if (!isArtifactName(name))
    throw new UserError("output", `${JSON.stringify(name.slice(0, 200))} can't be handed over.`);
  const bytes = (await files.facts(from))?.kind === "file" ? await files.read(from) : null;
  if (bytes === null)
    throw new UserError("artifact", `${from}, which was handed over as ${name}, is not there, or no real file.`);
  const artifact_hash = hashOf(bytes);
  if (known !== undefined && known !== artifact_hash)
    throw new UserError("artifact", `${from} is not the file its step handed over: it was changed since.`);
  const path = join(folder, "artifacts", name);
  await makeRealFolder(
    files,
    folder,
    "artifacts",
    ...dirname(name)
      .split("/")
      .filter((part) => part !== "."),
  );
  await files.writeAtomic(path, bytes);
  return { name, path, bytes: bytes.byteLength, artifact_hash };
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function requireOwnFile(files: Files, folder: string, name: string): Promise<void> {
  const parts = isArtifactName(name) ? name.split("/") : [];
  let path = folder;
  for (const [index, part] of parts.entries()) {
    path = join(path, part);
    const facts = await files.facts(path);
    const wanted = index === parts.length - 1 ? "file" : "directory";
    if (facts === null)
      throw new UserError(
        "output-missing",
        `The step is to hand over ${name}, but ${join(folder, name)} is not there.`,
      );
    if (facts.kind !== wanted)
      throw new UserError(
        "output",
        `The step can't hand over ${name}: ${path} is a ${facts.kind}, not a real ${wanted}.`,
      );
    if (wanted === "file" && facts.bytes > FILE_BYTES_MAX)
      throw new UserError("output", `The step can't hand over ${name}: it has more than ${FILE_BYTES_MAX} bytes.`);
  }
  if (parts.length === 0)
    throw new UserError(
      "output",
      `The step can't hand over ${JSON.stringify(name.slice(0, 200))}: name a file below its folder.`,
    );
}
