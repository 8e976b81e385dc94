import type { CrewEvent, CrewEventType } from "../events/crew-event.ts";
import type { EventBus } from "../events/publisher.ts";
import { isTerminal } from "../runs/run-state.ts";
import { TaskMetrics } from "../store/task-metrics.ts";
import { TaskRecorder } from "../store/task-recorder.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import type { RunService } from "./run-service.ts";

const LOOKED_AT_MAX = 100;
const DAY_MS = 86_400_000;

const HEARD: readonly CrewEventType[] = [
  "crew.task.attempt_finished",
  "crew.task.completed",
  "crew.task.failed",
  "crew.run.completed",
  "crew.run.failed",
  "crew.run.cancelled",
];

/** Keeps a record of each task this process ends. Dispose after the runs were released. */
export interface TaskRecords {
  recorder: TaskRecorder;
  /** From now on the events of the runs this process drives are heard; what earlier processes left undone is written. */
  listen(bus: Pick<EventBus, "on">, runs: RunService): void;
  dispose(): Promise<void>;
}

export async function openTaskRecords(
  world: World,
  crewRoot: string,
  redact: (text: string) => string,
): Promise<TaskRecords> {
  const recorder = new TaskRecorder({ world, crewRoot, redact });
  await recorder.prepare();
  const stops: Array<() => void> = [];
  const closing = new AbortController();
  let caughtUp = Promise.resolve();
  let retained = Promise.resolve();
  return {
    recorder,
    listen(bus, runs) {
      const hear = (data: unknown) => {
        const event = data as CrewEvent;
        const active = runs.active.find(({ run }) => run.manifest.runId === event.runId);
        if (active) recorder.onEvent(event, active.run.manifest, active.run.state);
      };
      stops.push(...HEARD.map((type) => bus.on(type, hear)));
      const warn = (runId: string, error: unknown) =>
        world.log.warn("tasks of earlier sessions are not all kept", { runId, error: messageOf(error) });
      caughtUp = catchUpWithEnded(recorder, runs, closing.signal, warn).catch((error: unknown) => warn("", error));
      const retain = () => {
        retained = new TaskMetrics(world, crewRoot).retain().then(
          () => undefined,
          (error: unknown) => world.log.warn("old records of tasks stay", { error: messageOf(error) }),
        );
      };
      retain();
      const daily = world.clock.every(DAY_MS, retain);
      stops.push(() => daily[Symbol.dispose]());
    },
    async dispose() {
      for (const stop of stops.splice(0)) stop();
      closing.abort();
      await caughtUp;
      await retained;
      await recorder.dispose();
    },
  };
}

/** A process that was killed the moment a task ended has told its log, and no more. Ends between two runs when told to. */
async function catchUpWithEnded(
  recorder: TaskRecorder,
  runs: RunService,
  closing: AbortSignal,
  onProblem: (runId: string, error: unknown) => void,
): Promise<void> {
  for (const id of recorder.unrecorded((await runs.store.ids()).slice(0, LOOKED_AT_MAX))) {
    if (closing.aborted) return;
    const view = await runs.view(id).catch(() => null);
    if (!view || !isTerminal(view.state.status)) continue;
    await recorder.catchUp(view.manifest).catch((error: unknown) => onProblem(id, error));
  }
}
