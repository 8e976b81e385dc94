import { describe, expect, it } from "vitest";
import { createLocalBus } from "../../src/events/local-bus.ts";

function makeBus() {
  const errors: string[] = [];
  const bus = createLocalBus((error, channel) => errors.push(`${channel}: ${String(error)}`));
  return { bus, errors };
}

describe("the local bus", () => {
  it("gives one payload to all of a channel, at once and in order", () => {
    const { bus } = makeBus();
    const heard: [string, unknown][] = [];
    bus.on("a", (data) => heard.push(["first", data]));
    bus.on("a", (data) => heard.push(["second", data]));
    bus.on("b", () => heard.push(["other", null]));
    const payload = {};
    bus.emit("a", payload);
    bus.emit("nobody", payload);
    expect(heard.map(([who]) => who)).toEqual(["first", "second"]);
    expect(heard.every(([, data]) => data === payload)).toBe(true);
  });

  it("stops telling who unsubscribed, and only them", () => {
    const { bus } = makeBus();
    const heard: string[] = [];
    const off = bus.on("a", () => heard.push("one"));
    bus.on("a", () => heard.push("two"));
    off();
    off();
    bus.emit("a", null);
    expect(heard).toEqual(["two"]);
  });

  it("keeps two subscriptions of one function apart, as Pi's bus does", () => {
    const { bus } = makeBus();
    let count = 0;
    const handler = () => {
      count++;
    };
    const off = bus.on("a", handler);
    bus.on("a", handler);
    bus.emit("a", null);
    expect(count).toBe(2);
    off();
    bus.emit("a", null);
    expect(count).toBe(3);
  });

  it("survives a subscriber that throws, and says so", () => {
    const { bus, errors } = makeBus();
    let heard = 0;
    bus.on("a", () => {
      throw new Error("bad subscriber");
    });
    bus.on("a", () => heard++);
    bus.emit("a", null);
    expect(heard).toBe(1);
    expect(errors).toEqual(["a: Error: bad subscriber"]);
  });

  it("survives a subscriber that rejects, and says so", async () => {
    const { bus, errors } = makeBus();
    bus.on("a", async () => {
      await Promise.resolve();
      throw new Error("late");
    });
    bus.emit("a", null);
    await new Promise((resolve) => setImmediate(resolve));
    expect(errors).toEqual(["a: Error: late"]);
  });

  it("tells those who were subscribed when it began, whoever comes or goes meanwhile", () => {
    const { bus } = makeBus();
    const heard: string[] = [];
    bus.on("a", () => {
      heard.push("again");
      if (heard.length < 10) bus.on("a", () => heard.push("late"));
    });
    bus.emit("a", null);
    expect(heard).toEqual(["again"]);
  });
});
