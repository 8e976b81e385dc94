import { join } from "node:path";
import { codeOf } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import type { ProcessIdentity, World } from "../system/world.ts";
import { followingFolder, isSafeSegment, safeSegment } from "./layout.ts";
import { UNFINISHED } from "./unfinished-files.ts";

/** A file half written for so long will not be finished. */
const UNFINISHED_MS_MAX = 3_600_000;

/** Who tells the events of a background run on a bus, and how far that went. */
interface Following {
  v: 1;
  runId: string;
  follower: ProcessIdentity;
  nonce: string;
  /** Of the last event that was told. */
  seq: number;
  /** Whether the run's end is to begin a turn of the model that started it. */
  wake: boolean;
}

/** The right to tell a run's events; lost when another process took it because this one looked dead. */
export interface FollowLease {
  readonly seq: number;
  readonly wake: boolean;
  /** To be called before telling events up to `seq`: they are told once, or never. False when the lease is lost. */
  advance(seq: number): Promise<boolean>;
  /** The run's end was told: nobody follows it any more. */
  end(): Promise<void>;
}

type FollowingsWorld = Pick<World, "files" | "random" | "processes" | "clock">;

/**
 * `<crewRoot>/state/following/<runId>.json`: one for each background run whose end has not been told yet. A run's
 * events are told by one session at a time, so that they are counted once.
 */
export class Followings {
  readonly #world: FollowingsWorld;
  readonly #folder: string;

  constructor(world: FollowingsWorld, crewRoot: string) {
    this.#world = world;
    this.#folder = followingFolder(crewRoot);
  }

  /** Of the runs whose end has not been told. Removes what killed writers have left, where it may. */
  async runIds(): Promise<string[]> {
    const { files, clock } = this.#world;
    const names = await files.list(this.#folder);
    for (const path of names.filter((name) => UNFINISHED.test(name)).map((name) => join(this.#folder, name))) {
      const facts = await files.facts(path);
      if (facts && clock.now() - facts.modifiedMs > UNFINISHED_MS_MAX) await files.remove(path).catch(() => undefined);
    }
    return names.flatMap((name) => {
      const id = name.endsWith(".json") ? name.slice(0, -".json".length) : "";
      return isSafeSegment(id) ? [id] : [];
    });
  }

  /** Of a new run, whose events up to `seq` were told by who made it. */
  async begin(runId: string, seq: number, wake: boolean): Promise<FollowLease> {
    await this.#world.files.makeFolder(this.#folder);
    const following = this.#own(runId, seq, wake);
    await this.#world.files.writeNew(this.#path(runId), text(following));
    return this.#lease(following);
  }

  /** Null when another living process has it, or the end was told already. */
  async claim(runId: string): Promise<FollowLease | null> {
    const { processes, files } = this.#world;
    const found = await this.#read(runId);
    if (!found) return null;
    const { follower, seq, wake } = found;
    const ours = isSameProcess(follower, processes.self());
    if (!ours && processes.alive(follower) !== "dead") return null;
    const following = this.#own(runId, seq, wake);
    await files.writeAtomic(this.#path(runId), text(following));
    const won = await this.#read(runId);
    return won?.nonce === following.nonce ? this.#lease(following) : null;
  }

  #own(runId: string, seq: number, wake: boolean): Following {
    const { processes, random } = this.#world;
    return { v: 1, runId, follower: processes.self(), nonce: random.hex(8), seq, wake };
  }

  #lease(following: Following): FollowLease {
    const { files } = this.#world;
    const { runId, nonce, seq, wake } = following;
    const isOurs = async () => (await this.#read(runId))?.nonce === nonce;
    return {
      seq,
      wake,
      advance: async (told) => {
        if (!(await isOurs())) return false;
        await files.writeAtomic(this.#path(runId), text({ ...following, seq: told }));
        return true;
      },
      end: async () => {
        if (await isOurs()) await files.remove(this.#path(runId));
      },
    };
  }

  async #read(runId: string): Promise<Following | null> {
    try {
      const value = JSON.parse((await this.#world.files.readText(this.#path(runId))) ?? "null") as Following | null;
      return value?.v === 1 && Number.isSafeInteger(value.seq) && typeof value.follower?.pid === "number"
        ? value
        : null;
    } catch (error) {
      if (codeOf(error) !== "") throw error;
      return null;
    }
  }

  #path(runId: string): string {
    return join(this.#folder, `${safeSegment(runId, "run id")}.json`);
  }
}

function text(following: Following): string {
  return `${JSON.stringify(following)}\n`;
}
