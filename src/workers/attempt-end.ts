import { codeOf, messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import type { AttemptRecord } from "./attempt-record.ts";
import type { AttemptTree } from "./attempt-tree.ts";
import type { KindResult } from "./kind.ts";
import type { StepRequest, StepResult } from "./step-contract.ts";
import { endRetryMaxMs, type WrapperProcess } from "./wrapper-messages.ts";

/** Between two tries to write an attempt's end; so many tries where nobody wants it any more. */
const endRetryMs = 500;
const unwantedTries = 3;

/** One that a worker host is at. */
export interface Attempt {
  readonly request: StepRequest;
  readonly workerId: string;
  readonly stop: AbortController;
  /** It was told to stop from outside: not by its time limit, and not by a crash. */
  readonly unwanted: AbortController;
  readonly record: AttemptRecord;
  readonly tree: AttemptTree;
  /** Set by a crash: whatever the session still says, this is the end. */
  crashed: KindResult | null;
  recorded: Promise<void> | null;
  /** On disk, and not in the history yet. */
  step: StepResult | null;
}

/**
 * A disk may be full for hours: what was done is not lost for that. Where somebody told the attempt to stop, or its
 * folder was removed, the process ends without a record after a few tries, and its owner knows why.
 */
export async function writeEnd(
  { clock, log }: World,
  wrapper: Pick<WrapperProcess, "tell" | "exit">,
  attempt: Attempt,
  ended: KindResult,
): Promise<void> {
  const { record, unwanted } = attempt;
  const { result, left } = await attempt.tree.conclude(ended, attempt.stop.signal.aborted);
  for (let tries = 1; ; tries += 1) {
    try {
      attempt.step = await record.end(result, left);
      return;
    } catch (error) {
      const why = messageOf(error);
      if (tries === 1) log.error("end not recorded yet", { error: why });
      sayWaiting(wrapper, tries, why);
      const { aborted } = unwanted.signal;
      if ((aborted || codeOf(error) === "ENOENT") && tries >= unwantedTries) return wrapper.exit(1);
      const delayMs = Math.min(endRetryMaxMs, endRetryMs * 2 ** Math.min(tries - 1, unwantedTries + 1));
      await (aborted ? clock.sleep(endRetryMs) : clock.sleep(delayMs, unwanted.signal));
    }
  }
}

/** After some tries its owner has read what the worker said last. */
function sayWaiting(wrapper: Pick<WrapperProcess, "tell">, tries: number, why: string): void {
  if (tries === unwantedTries) wrapper.tell({ type: "waiting", why });
}
