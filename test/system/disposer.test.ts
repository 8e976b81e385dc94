import { describe, expect, it } from "vitest";
import { Disposer } from "../../src/system/disposer.ts";

function setup() {
  const steps: string[] = [];
  const disposer = new Disposer((error) => steps.push(`error ${error instanceof Error ? error.message : error}`));
  const release = (name: string) => () => void steps.push(name);
  return { steps, disposer, release };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe("the disposer", () => {
  it("releases last in, first out, one after the other", async () => {
    const { steps, disposer, release } = setup();
    disposer.defer(release("first"));
    disposer.defer(async () => {
      steps.push("second begins");
      await turn();
      steps.push("second ends");
    });
    disposer.use({ [Symbol.dispose]: release("third") });
    expect(disposer.disposed).toBe(false);
    await disposer.dispose();
    expect(disposer.disposed).toBe(true);
    expect(steps).toEqual(["third", "second begins", "second ends", "first"]);
  });

  it("releases once, however often it is asked, and everyone who asked waits", async () => {
    const { steps, disposer } = setup();
    disposer.defer(async () => {
      await turn();
      steps.push("released");
    });
    const first = disposer.dispose();
    await disposer.dispose();
    expect(steps).toEqual(["released"]);
    await first;
    await disposer.dispose();
    expect(steps).toEqual(["released"]);
  });

  it("releases the rest when one throws or rejects, and says so", async () => {
    const { steps, disposer, release } = setup();
    disposer.defer(release("last"));
    disposer.defer(() => Promise.reject(new Error("rejected")));
    disposer.defer(() => {
      throw new Error("thrown");
    });
    await disposer.dispose();
    expect(steps).toEqual(["error thrown", "error rejected", "last"]);
  });

  it("releases at once what comes too late", async () => {
    const { steps, disposer, release } = setup();
    await disposer.dispose();
    disposer.defer(release("late"));
    await disposer.dispose();
    expect(steps).toEqual(["late"]);
  });

  it("takes what a release adds", async () => {
    const { steps, disposer, release } = setup();
    disposer.defer(release("first"));
    disposer.defer(() => {
      steps.push("second");
      disposer.defer(release("added"));
    });
    await disposer.dispose();
    await disposer.dispose();
    expect([...steps].sort()).toEqual(["added", "first", "second"]);
  });

  it("is disposed of as soon as it was asked, so that a release can ask again", async () => {
    const { steps, disposer, release } = setup();
    disposer.defer(release("first"));
    disposer.defer(() => {
      steps.push(`disposed ${disposer.disposed}`);
      void disposer.dispose();
    });
    await disposer.dispose();
    expect(steps).toEqual(["disposed true", "first"]);
  });
});
