import type { EventBus } from "../events/publisher.ts";
import type { RunLoop } from "../runs/run-loop.ts";
import { usedInRun } from "../runs/usage.ts";
import type { OpenRun } from "../store/run-store.ts";
import { budgetReason, exceededLimit } from "../supervision/budget.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";

const LOOK_MS = 1000;

interface BudgetParts {
  world: World;
  /** Tells the run's events. */
  bus: EventBus;
}

/**
 * Cancels the run when it has used up more than it may. What attempts use is looked at with each reply of their models,
 * and at their ends before anything follows from those; of time, only that in which the run was driven counts, under
 * this owner by the monotonic clock. Dispose to stop.
 */
export function watchBudget({ world, bus }: BudgetParts, run: OpenRun, loop: RunLoop): Disposable {
  const { clock, log } = world;
  const { limits } = run.manifest.config;
  const { drivenMs } = run.state;
  const sinceMs = clock.monotonicMs();
  let over = false;
  const look = () => {
    const { costUsd, tokens } = usedInRun(run.state);
    const durationMs = drivenMs + clock.monotonicMs() - sinceMs;
    const exceeded = over ? null : exceededLimit(limits, { costUsd, tokens, durationMs });
    if (!exceeded) return;
    over = true;
    run.publisher
      .publish({ type: "crew.run.budget_exceeded", ...exceeded })
      .catch((error: unknown) => log.warn("a passed limit was not told", { error: messageOf(error) }));
    loop.cancel(budgetReason(exceeded));
  };
  // whichever run's: a look is cheap
  const unsubscribes = ["crew.task.progress", "crew.task.attempt_finished"].map((type) => bus.on(type, look));
  const timer = clock.every(LOOK_MS, look);
  // what a run taken over had used before
  look();
  return {
    [Symbol.dispose]() {
      for (const unsubscribe of unsubscribes) unsubscribe();
      timer[Symbol.dispose]();
    },
  };
}
