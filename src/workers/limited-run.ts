import type { Clock } from "../system/world.ts";
import { type AttemptKind, emptyResult, type KindContext, type KindResult, type StopReason } from "./kind.ts";
import { failed } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";
import { stopGraceMs, timerMsMax } from "./wrapper-messages.ts";

/** Lets a kind do an attempt within its time limit; one that does not stop when told gets its end without being asked. */
export async function runWithinLimit(
  clock: Clock,
  kind: AttemptKind,
  request: StepRequest,
  stop: AbortController,
  context: KindContext,
): Promise<KindResult> {
  const over = new AbortController();
  // keeps the process alive: the model's socket may be all there is, and a hung promise not even that
  void clock.sleep(timerMsMax, over.signal);
  const limitMs = request.timeoutSec === null ? timerMsMax : Math.min(request.timeoutSec * 1000, timerMsMax);
  const reason: StopReason = "timeout";
  const timer = clock.after(limitMs, () => stop.abort(reason));
  try {
    const ended = await Promise.race([kind.run(request, context), afterGrace(clock, stop.signal, over.signal)]);
    if (ended) return ended;
    context.spoil();
    return abandoned(kind, request, stop.signal.reason);
  } finally {
    timer[Symbol.dispose]();
    over.abort();
  }
}

/** Resolves with null when an abort got no answer in time. */
async function afterGrace(clock: Clock, stopped: AbortSignal, over: AbortSignal): Promise<null> {
  await new Promise<void>((resolve) => {
    if (stopped.aborted) resolve();
    stopped.addEventListener("abort", () => resolve(), { once: true });
  });
  await clock.sleep(stopGraceMs, over);
  return null;
}

/** The session hangs in code of ours or an extension's: its end is written for it. */
function abandoned(kind: AttemptKind, request: StepRequest, reason: unknown): KindResult {
  const base = kind.partial() ?? emptyResult;
  if (reason === "timeout")
    return {
      ...base,
      ...failed(
        "transient",
        "timeout",
        `No end within timeoutSec ${request.timeoutSec ?? 0}; it did not stop when told.`,
      ),
      exitCode: 124,
    };
  const message = "The attempt was cancelled; it did not stop when told.";
  return { ...base, outcome: "cancelled", failureKind: "cancelled", error: { kind: "cancelled", message } };
}
