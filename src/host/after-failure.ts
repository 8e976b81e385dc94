import type { RunConfig } from "../runs/run-config.ts";
import type { RunLoopParts } from "../runs/run-loop.ts";
import { dueDeadLetter } from "../supervision/dead-letter-decision.ts";
import { classifyFailure, isQuestion } from "../supervision/failure-kind.ts";
import { countedAttempts, decideNext, policyOf } from "../supervision/retry-policy.ts";
import { keepEnds } from "../system/safe-text.ts";
import type { World } from "../system/world.ts";

const QUESTION_CHARS_MAX = 4000;

/** The run loop's question after a failed attempt, answered by the run's retry policy. */
export function afterFailureUnder(
  reliability: RunConfig["reliability"],
  { clock, random }: Pick<World, "clock" | "random">,
  canAsk: () => boolean,
): RunLoopParts["afterFailure"] {
  return (spec, task) => {
    const last = task.attempts.at(-1);
    if (last?.status !== "ended") return { giveUp: true, deadLetter: null };
    if (isQuestion(last) && canAsk()) return { ask: keepEnds(last.summary || last.error.message, QUESTION_CHARS_MAX) };
    const policy = policyOf(spec.retry, reliability);
    const failure = classifyFailure(last, clock.now());
    const next = decideNext(failure, countedAttempts(task.attempts), policy, random);
    if ("again" in next) return { again: next.again, failureKind: next.kind };
    return {
      giveUp: true,
      deadLetter: dueDeadLetter(task, { kind: "gave-up", reason: next.giveUp }, task.deadLetters),
    };
  };
}
