import { appendFileSync, readFileSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { RunOwner } from "../../src/events/crew-event.ts";
import { openSealedLine } from "../../src/events/event-line.ts";
import type { OpenRun } from "../../src/store/run-store.ts";
import { nodeWorld } from "../../src/system/node.ts";
import { type PlantedRun, plantRun } from "../bench/planted-runs.ts";
import { countingFiles } from "../support/counting-files.ts";
import { keepingBus, ownerOf, tempFolder, tempStore } from "./temp-store.ts";

const world = nodeWorld({ warn: () => undefined, error: () => undefined });
const isAlive = (owner: RunOwner) => owner.nonce.startsWith("living");
const living = ownerOf("living");
const gone = { ...ownerOf("gone"), pid: 2 };

async function project() {
  const crewRoot = await tempFolder();
  const counting = countingFiles(world.files);
  const { store } = await tempStore({ crewRoot, files: counting.files });
  const plant = (runId: string, owner: RunOwner, rest: Partial<PlantedRun> = {}): Promise<OpenRun> =>
    plantRun(world, crewRoot, { runId, owner, events: 10, ...rest });
  /** As the first look of another session. */
  const fresh = async () => (await tempStore({ crewRoot, files: counting.files })).store.unended(isAlive);
  return { crewRoot, store, plant, fresh, spent: counting.spent };
}

const logOf = (run: OpenRun) => join(run.folder, "events.jsonl");
const stateOf = (run: OpenRun) => join(run.folder, "state.json");

function link(path: string): void {
  renameSync(path, `${path}.was`);
  symlinkSync(`${path}.was`, path);
}

describe("runs that may need somebody", () => {
  it("are those that have not ended and have no living owner, newest first", async () => {
    const { plant, store } = await project();
    await plant("a-ended", gone, { ended: true });
    await plant("b-driven", living);
    await plant("c-driven-on", living, { tail: 5 });
    await plant("d-left", gone);
    await plant("e-left", gone, { tail: 5 });
    expect(await store.unended(isAlive)).toEqual(["e-left", "d-left"]);
    expect(await store.unended(() => false)).toEqual(["e-left", "d-left", "c-driven-on", "b-driven"]);
  });

  it("ask for each process once, whatever it claimed", async () => {
    const { plant, store } = await project();
    for (const at of [1, 2, 3]) await plant(`run-${at}`, { ...living, nonce: `living-${at}` });
    let asked = 0;
    expect(await store.unended(() => ++asked > 0)).toEqual([]);
    expect(asked).toBe(1);
  });

  it("are all that nothing tells of: state.json is a cache, and the log the truth", async () => {
    const ways: [string, (run: OpenRun, other: OpenRun) => void][] = [
      ["deleted", (run) => rmSync(stateOf(run))],
      ["empty", (run) => writeFileSync(stateOf(run), "")],
      [
        "damaged",
        (run) => writeFileSync(stateOf(run), readFileSync(stateOf(run), "utf8").replace('"epoch"', '"epoc_"')),
      ],
      ["of another run", (run, other) => writeFileSync(stateOf(run), readFileSync(stateOf(other)))],
      ["a link", (run) => link(stateOf(run))],
      ["of a longer log", (run) => truncateSync(logOf(run), 100)],
      ["of a log that is gone", (run) => renameSync(logOf(run), `${logOf(run)}.was`)],
    ];
    for (const [what, harm] of ways)
      for (const ended of [true, false]) {
        const { plant, fresh } = await project();
        const run = await plant("run-1", living, { ended });
        const other = await plant("run-2", living, { ended });
        expect(await fresh(), what).toEqual([]);
        harm(run, other);
        expect(await fresh(), `${what}, ended: ${ended}`).toEqual(["run-1"]);
      }
  });

  it("are those whose living owner let go of them, or was followed by another, after state.json was saved", async () => {
    const { plant, fresh, crewRoot } = await project();
    const released = await plant("released", living);
    const followed = await plant("followed", living);
    const torn = await plant("torn", living);
    const { store } = await tempStore({ crewRoot });
    for (const planted of [released, followed]) {
      let saved = readFileSync(stateOf(planted));
      const run = await store.open(planted.manifest.runId, keepingBus().bus);
      await run.claim(planted === followed ? gone : living);
      if (planted === released) {
        saved = readFileSync(stateOf(planted));
        await run.publisher.publish({ type: "crew.run.released", reason: "quit" });
      }
      run.close();
      writeFileSync(stateOf(planted), saved);
    }
    appendFileSync(logOf(torn), '{"v":1,"half');
    expect(await fresh()).toEqual(["torn", "released", "followed"]);
  });

  it("don't include an ended run that was told something afterwards", async () => {
    const { plant, fresh, crewRoot } = await project();
    await plant("run-1", gone, { ended: true });
    const { store } = await tempStore({ crewRoot });
    const run = await store.open("run-1", keepingBus().bus);
    await run.claim(gone);
    run.close();
    expect(await fresh()).toEqual([]);
  });

  it("cost the same however long their logs are", async () => {
    const spent = await Promise.all(
      [20, 900].map(async (events) => {
        const { plant, fresh, store, spent } = await project();
        await plant("a-ended", gone, { ended: true, events });
        await plant("b-driven", living, { events, tail: 10 });
        await plant("c-left", gone, { events, tail: 10 });
        spent();
        await fresh();
        const first = spent();
        await store.unended(isAlive);
        spent();
        await store.unended(isAlive);
        const later = spent();
        await store.view("c-left");
        return { first, later, view: spent() };
      }),
    );
    const [short, long] = spent;
    expect(long?.first.calls).toEqual(short?.first.calls);
    expect(long?.later.calls).toEqual(short?.later.calls);
    // a head for each, and the last words of the one that is driven
    expect(long?.first.bytes).toBeLessThanOrEqual(3 * 1024 + 4096);
    // an end is final: not even a look
    expect(long?.later.calls).toEqual(["factsNow", "factsNow", "list", "readNow", "readNow", "readNow"]);
    expect(long?.view.calls).toEqual(short?.view.calls);
  });

  it("leave a sealed head that any reader of JSON finds", async () => {
    const { plant } = await project();
    const run = await plant("run-1", living);
    const text = readFileSync(stateOf(run), "utf8");
    const { head, state, position } = JSON.parse(text) as Record<string, Record<string, unknown>>;
    expect(openSealedLine(JSON.stringify(head))).toMatchObject({ runId: "run-1", status: "running", owner: living });
    expect(head?.["bytes"]).toBe(position?.["bytes"]);
    expect(state?.["owner"]).toEqual(living);
  });
});
