import { describe, expect, it } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { alertOnDeadLetters } from "../../src/host/dead-letter-alert.ts";
import type { Notification } from "../../src/host/notification-router.ts";

const MINUTE = 60_000;

function alerting(threshold: number) {
  const bus = createLocalBus((error) => {
    throw error;
  });
  const told: Notification[] = [];
  const stop = alertOnDeadLetters(bus, threshold, (notification) => told.push(notification));
  const giveUp = (runId: string, ts: number) => bus.emit("crew.task.deadletter", { runId, ts });
  return { told, stop, giveUp };
}

describe("the alert on dead letters", () => {
  it("comes once an hour, with more than the threshold in an hour, over all runs", () => {
    const { told, giveUp } = alerting(2);
    giveUp("run-1", 0);
    giveUp("run-2", MINUTE);
    expect(told).toEqual([]);
    giveUp("run-3", 2 * MINUTE);
    giveUp("run-3", 3 * MINUTE);
    expect(told).toMatchObject([
      { id: "deadletter_threshold_run-3", severity: "error", source: "dead-letters", dedupMs: 60 * MINUTE },
    ]);
    for (const minutes of [70, 71, 72]) giveUp("run-4", minutes * MINUTE);
    expect(told.map(({ id }) => id)).toEqual(["deadletter_threshold_run-3", "deadletter_threshold_run-4"]);
  });

  it("is not raised by as many over a longer time, nor after its end", () => {
    const { told, stop, giveUp } = alerting(2);
    for (const minutes of [0, 31, 62, 93]) giveUp("run-1", minutes * MINUTE);
    expect(told).toEqual([]);
    stop();
    for (const minutes of [94, 95, 96]) giveUp("run-1", minutes * MINUTE);
    expect(told).toEqual([]);
  });
});
