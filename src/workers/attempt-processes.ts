import type { World } from "../system/world.ts";

const sweepPauseMs = 10;

/** In a row: one look may miss those that begin and end within microseconds. */
const EMPTY_LOOKS = 2;

/**
 * Ends whatever carries one of the tags in its environment: tools start children in groups of their own. Found anew
 * until none is left, since what is being killed may still be starting others. Returns how many were ended.
 */
export async function endTagged(
  { clock, processes }: Pick<World, "clock" | "processes">,
  tags: Readonly<Record<string, string>>,
  timeMaxMs: number,
): Promise<number> {
  const until = clock.monotonicMs() + timeMaxMs;
  const ended = new Set<number>();
  for (let empty = 0; ; ) {
    const left = processes.withEnvironment(tags).filter((pid) => processes.kill(pid, "SIGKILL"));
    for (const pid of left) ended.add(pid);
    empty = left.length === 0 ? empty + 1 : 0;
    const isOver = ended.size === 0 ? empty > 0 : empty >= EMPTY_LOOKS;
    if (isOver || clock.monotonicMs() > until) return ended.size;
    await clock.sleep(sweepPauseMs);
  }
}
