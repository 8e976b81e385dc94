import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { CrewEvent, CrewEventType, RunOwner } from "../../src/events/crew-event.ts";
import { CREW_EVENT_TYPES } from "../../src/events/event-durability.ts";
import { createLocalBus } from "../../src/events/local-bus.ts";
import type { EventBus } from "../../src/events/publisher.ts";
import { RunStore } from "../../src/store/run-store.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { AppendHandle, Files, Log } from "../../src/system/world.ts";
import { FakeClock } from "../support/fake-clock.ts";

/** A folder that is gone after the test. */
export async function tempFolder(): Promise<string> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), "foreman-store-")));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export interface TempStore {
  store: RunStore;
  crewRoot: string;
  clock: FakeClock;
  warnings: string[];
}

/** The real store over real files in a folder of its own, or in `crewRoot`: another process's view of the same runs. */
export async function tempStore(options: { crewRoot?: string; files?: Files } = {}): Promise<TempStore> {
  const crewRoot = options.crewRoot ?? (await tempFolder());
  const warnings: string[] = [];
  const log: Log = {
    warn: (message) => void warnings.push(message),
    error: (message) => void warnings.push(message),
  };
  const clock = new FakeClock();
  return {
    store: new RunStore({ files: options.files ?? nodeFiles(), clock, log }, crewRoot),
    crewRoot,
    clock,
    warnings,
  };
}

/** A bus whose every event is kept. */
export function keepingBus(): { bus: EventBus; told: CrewEvent[] } {
  const told: CrewEvent[] = [];
  const bus = createLocalBus((error) => {
    throw error;
  });
  for (const type of CREW_EVENT_TYPES) bus.on(type, (event) => told.push(event as CrewEvent));
  return { bus, told };
}

export function ownerOf(nonce: string): RunOwner {
  return { hostId: "host", bootId: "boot", pidNs: "ns", pid: 1, processStart: "1", nonce };
}

export function typesOf(events: readonly { type: string }[], type?: CrewEventType): string[] {
  return events.map((event) => event.type).filter((one) => type === undefined || one === type);
}

/** Real files whose append handles fail once `fail` is set: with this code, at writing, at syncing or after a part. */
export class FailingLogFiles {
  fail: { at: "write" | "sync" | "part"; code: string } | null = null;
  readonly files: Files;

  constructor() {
    const real = nodeFiles();
    this.files = {
      ...real,
      openAppend: (path) => this.#failing(real.openAppend(path)),
      openLines: (path) => this.#failing(real.openLines(path)),
    };
  }

  #failing(handle: AppendHandle): AppendHandle {
    return {
      write: (data) => {
        if (this.fail?.at === "part") handle.write(Buffer.from(data).subarray(0, data.length / 2));
        if (this.fail && this.fail.at !== "sync") throw this.#error();
        handle.write(data);
      },
      sync: () => (this.fail?.at === "sync" ? Promise.reject(this.#error()) : handle.sync()),
      close: () => handle.close(),
    };
  }

  #error(): Error {
    return Object.assign(new Error(`${this.fail?.code}: no space left on device`), { code: this.fail?.code });
  }
}
