import type { FileFacts } from "./world.ts";

/** Changes when a file is another one or has been written to; empty for none. */
export function versionOf(facts: FileFacts | null): string {
  return facts === null ? "" : `${facts.inode}:${facts.bytes}:${facts.modifiedMs}`;
}
