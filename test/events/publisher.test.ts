import { describe, expect, it } from "vitest";
import type { CrewEvent, NewEvent } from "../../src/events/crew-event.ts";
import { EVENT_DURABILITY } from "../../src/events/event-durability.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import { createPublisher, type EventLogWriter } from "../../src/events/publisher.ts";

const DURABLE: NewEvent = { type: "crew.run.started", team: "t", workflow: "w" };
const LAZY: NewEvent = { type: "crew.task.progress", taskId: "a", attempt: 1, text: "x" };

/** A log in memory whose disk answers when the test says so. */
class HeldLog implements EventLogWriter {
  readonly steps: string[];
  readonly #waiting: { resolve: () => void; reject: (error: Error) => void }[] = [];
  appendError: Error | null = null;
  #seq = 0;

  constructor(steps: string[]) {
    this.steps = steps;
  }

  append(event: NewEvent): CrewEvent {
    if (this.appendError) throw this.appendError;
    this.steps.push(`append ${++this.#seq}`);
    return { v: 1, seq: this.#seq, epoch: 1, ts: 0, runId: "r", traceId: "", spanId: "", ...event } as CrewEvent;
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  get syncs(): number {
    return this.#waiting.length;
  }

  /** Answers the oldest sync that waits. */
  async answer(error?: Error): Promise<void> {
    const oldest = this.#waiting.shift();
    this.steps.push(error ? "disk failed" : "disk");
    if (error) oldest?.reject(error);
    else oldest?.resolve();
    await settle();
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

function setup() {
  const steps: string[] = [];
  const log = new HeldLog(steps);
  const complaints: string[] = [];
  const bus = createLocalBus((error) => complaints.push(String(error)));
  for (const type of Object.keys(EVENT_DURABILITY))
    bus.on(type, (event) => steps.push(`bus ${(event as CrewEvent).seq}`));
  const publisher = createPublisher({
    log,
    bus,
    fold: (event) => steps.push(`fold ${event.seq}`),
    onSubscriberError: (message) => complaints.push(message),
  });
  return { steps, log, bus, complaints, publisher };
}

describe("the publisher", () => {
  it("appends, waits for the disk, folds, tells: in this order", async () => {
    const { steps, log, publisher } = setup();
    const published = publisher.publish(DURABLE);
    await settle();
    expect(steps).toEqual(["append 1"]);
    await log.answer();
    expect(steps).toEqual(["append 1", "disk", "fold 1", "bus 1"]);
    expect((await published).seq).toBe(1);
  });

  it("does not wait for the disk with what may be lost", async () => {
    const { steps, log, publisher } = setup();
    await publisher.publish(LAZY);
    expect(steps).toEqual(["append 1", "fold 1", "bus 1"]);
    expect(log.syncs).toBe(0);
  });

  it("keeps the order when a lazy event follows a durable one", async () => {
    const { steps, log, publisher } = setup();
    const all = Promise.all([publisher.publish(DURABLE), publisher.publish(LAZY), publisher.publish(DURABLE)]);
    await settle();
    expect(steps).toEqual(["append 1", "append 2", "append 3"]);
    await log.answer();
    await log.answer();
    await all;
    expect(steps.filter((step) => !step.startsWith("append"))).toEqual([
      "disk",
      "fold 1",
      "bus 1",
      "fold 2",
      "bus 2",
      "disk",
      "fold 3",
      "bus 3",
    ]);
  });

  it("keeps the order when the later one's disk answers first", async () => {
    const steps: string[] = [];
    const answers: (() => void)[] = [];
    const publisher = createPublisher({
      log: {
        append: (event) => ({ ...event, seq: answers.length + 1 }) as CrewEvent,
        sync: () => new Promise((resolve) => answers.push(resolve)),
      },
      bus: { emit: (_type, event) => steps.push(`bus ${(event as CrewEvent).seq}`), on: () => () => undefined },
      fold: (event) => steps.push(`fold ${event.seq}`),
      onSubscriberError: () => undefined,
    });
    const all = [publisher.publish(DURABLE), publisher.publish(DURABLE)];
    answers[1]?.();
    await settle();
    expect(steps).toEqual([]);
    answers[0]?.();
    await Promise.all(all);
    expect(steps).toEqual(["fold 1", "bus 1", "fold 2", "bus 2"]);
  });

  it("tells nobody when the disk failed, and nobody of what came after", async () => {
    const { steps, log, publisher } = setup();
    const first = publisher.publish(DURABLE);
    const lazy = publisher.publish(LAZY);
    const second = publisher.publish(DURABLE);
    const ends = Promise.allSettled([first, lazy, second]);
    await log.answer(new Error("EIO"));
    await log.answer();
    expect((await ends).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    await expect(publisher.publish(LAZY)).rejects.toThrow("EIO");
    expect(steps.filter((step) => /fold|bus/.test(step))).toEqual([]);
  });

  it("tells nobody of what the log did not take, and goes on when it takes the next", async () => {
    const { steps, log, publisher } = setup();
    log.appendError = new Error("too big");
    await expect(publisher.publish(LAZY)).rejects.toThrow("too big");
    expect(steps).toEqual([]);
    log.appendError = null;
    await publisher.publish(LAZY);
    expect(steps).toEqual(["append 1", "fold 1", "bus 1"]);
  });

  it("is not disturbed by a subscriber that throws, nor by a bus that is gone", async () => {
    const steps: string[] = [];
    const complaints: string[] = [];
    const publisher = createPublisher({
      log: new HeldLog(steps),
      bus: {
        emit: () => {
          throw new Error("the session is gone");
        },
        on: () => () => undefined,
      },
      fold: (event) => steps.push(`fold ${event.seq}`),
      onSubscriberError: (message, event) => complaints.push(`${event.type} ${message}`),
    });
    await publisher.publish(LAZY);
    await publisher.publish(LAZY);
    expect(steps).toEqual(["append 1", "fold 1", "append 2", "fold 2"]);
    expect(complaints).toEqual(Array(2).fill("crew.task.progress the session is gone"));
  });

  it("publishes from a subscriber, after the event that it heard", async () => {
    const { steps, bus, publisher } = setup();
    let answered: Promise<unknown> = Promise.resolve();
    bus.on("crew.task.progress", (event) => {
      if ((event as CrewEvent).seq === 1) answered = publisher.publish(LAZY);
    });
    await publisher.publish(LAZY);
    await answered;
    expect(steps).toEqual(["append 1", "fold 1", "bus 1", "append 2", "fold 2", "bus 2"]);
  });

  it("hands out what stands in the log: the same object to fold, bus and caller", async () => {
    const { bus, log } = setup();
    const got: unknown[] = [];
    bus.on("crew.task.progress", (event) => got.push(event));
    const publisher = createPublisher({
      log,
      bus,
      fold: (event) => got.push(event),
      onSubscriberError: () => undefined,
    });
    const event = await publisher.publish(LAZY);
    expect(got).toHaveLength(2);
    expect(got.every((one) => one === event)).toBe(true);
  });
});
