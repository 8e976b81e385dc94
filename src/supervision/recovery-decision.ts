import { type CrewEventFields, DECLINED_REASON } from "../events/crew-event.ts";
import type { RecoveryPlan } from "./recovery-plan.ts";

/** What is done about an interrupted run. Pure; the host asks, claims and publishes. */

export type RecoveryStep =
  /** Ask the user; then `answerStep`. */
  | { kind: "ask"; plan: RecoveryPlan }
  /** Claim the run and carry it on. */
  | { kind: "resume"; plan: RecoveryPlan; resumed: CrewEventFields["crew.run.resumed"] }
  /** Claim the run, end its workers and cancel it; then tell the user that `/team-resume` continues it. */
  | { kind: "close"; plan: RecoveryPlan; reason: string }
  /** Touch nothing; it stays listed. */
  | { kind: "none"; plan: RecoveryPlan };

/** What the user answered. `none`: Esc, or the dialog went away. */
export type RecoveryAnswer = "confirm" | "decline" | "none";

/**
 * `askedBefore`: in this session, about this run. What its user had asked to end is ended, and nobody asks again. With
 * `autoRecover` off a run is closed without a question. But an owner may be alive somewhere: then nothing is done unasked
 * (rule L2).
 */
export function recoveryStep(
  plan: RecoveryPlan,
  session: { autoRecover: boolean; canAsk: boolean; askedBefore: boolean },
): RecoveryStep {
  const { cancelAsked, proof } = plan;
  if (cancelAsked !== null && proof === "owner-gone") return { kind: "close", plan, reason: cancelAsked };
  if (session.autoRecover) return { kind: session.canAsk && !session.askedBefore ? "ask" : "none", plan };
  return proof === "owner-gone" ? { kind: "close", plan, reason: DECLINED_REASON } : { kind: "none", plan };
}

export function answerStep(plan: RecoveryPlan, answer: RecoveryAnswer): RecoveryStep {
  if (answer === "decline") return { kind: "close", plan, reason: DECLINED_REASON };
  if (answer === "none") return { kind: "none", plan };
  const { lastEventSeq, resumableTasks, adoptableTasks } = plan;
  return {
    kind: "resume",
    plan,
    resumed: { recoveredFromSeq: lastEventSeq, resumableTasks: [...resumableTasks], adoptedTasks: [...adoptableTasks] },
  };
}
