import type { ProcessIdentity } from "./world.ts";

/** One and the same process: its number alone may have been given to another one since. */
export function isSameProcess(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return (
    a.hostId === b.hostId &&
    a.bootId === b.bootId &&
    a.pidNs === b.pidNs &&
    a.pid === b.pid &&
    a.processStart === b.processStart
  );
}
