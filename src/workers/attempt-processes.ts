import type { World } from "../system/world.ts";

const sweepPauseMs = 10;

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
  for (;;) {
    const left = processes.withEnvironment(tags).filter((pid) => processes.kill(pid, "SIGKILL"));
    for (const pid of left) ended.add(pid);
    if (left.length === 0 || clock.monotonicMs() > until) return ended.size;
    await clock.sleep(sweepPauseMs);
  }
}
