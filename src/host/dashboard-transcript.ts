import { attemptFolder } from "../store/layout.ts";
import { messageOf } from "../system/errors.ts";
import { versionOf } from "../system/file-version.ts";
import type { World } from "../system/world.ts";
import { liveLines, readTranscript, type TranscriptLine } from "../views/transcript.ts";
import { type AttemptPaths, attemptPaths } from "../workers/attempt-folder.ts";
import { LIVE_BYTES_MAX, parseLiveReply } from "../workers/live-reply.ts";
import { logVersion, newestSegment, readLogEnd } from "../workers/log-tail.ts";

/** Of a log's end: a tool's result is one line of up to 50 kB. */
const TAIL_BYTES = 256 * 1024;
const LINES_MAX = 500;
/** Between two looks at an attempt under way. */
const LOOK_MS = 250;

export interface FollowedAttempt {
  runId: string;
  taskId: string;
  attempt: number;
  underWay: boolean;
}

/** The end of one attempt's log and what its worker has begun since, read anew when either has changed. */
export class DashboardTranscript {
  readonly #world: Pick<World, "files" | "log" | "clock">;
  #finished: readonly TranscriptLine[] = [];
  #live: readonly TranscriptLine[] = [];
  #paths: AttemptPaths | null = null;
  /** Of the log's tail; 0 while all is in the log itself. */
  #segment = 0;
  #seen = "";
  #reading = false;
  #looking: Disposable | null = null;
  #changed: () => void = () => undefined;

  constructor(world: Pick<World, "files" | "log" | "clock">) {
    this.#world = world;
  }

  get lines(): readonly TranscriptLine[] {
    return this.#live.length === 0 ? this.#finished : [...this.#finished, ...this.#live];
  }

  /** Follows the attempt, or nothing; `changed` when there is something new. */
  follow(crewRoot: string, place: FollowedAttempt | null, changed: () => void): void {
    this.#changed = changed;
    const paths = place && attemptPaths(attemptFolder(crewRoot, place.runId, place.taskId, place.attempt));
    if (paths?.stdout !== this.#paths?.stdout) {
      this.#finished = [];
      this.#live = [];
      this.#segment = 0;
      this.#seen = "";
    }
    this.#paths = paths;
    if (place?.underWay) this.#looking ??= this.#world.clock.every(LOOK_MS, () => this.#look());
    else this[Symbol.dispose]();
    this.#look();
  }

  [Symbol.dispose](): void {
    this.#looking?.[Symbol.dispose]();
    this.#looking = null;
  }

  #look(): void {
    const paths = this.#paths;
    if (paths === null || this.#reading || this.#versionOf(paths, this.#segment) === this.#seen) return;
    this.#reading = true;
    this.#read(paths)
      .catch((error: unknown) =>
        this.#world.log.warn("a transcript was not read", { ...paths, error: messageOf(error) }),
      )
      .finally(() => {
        this.#reading = false;
        this.#changed();
      });
  }

  #versionOf(paths: AttemptPaths, segment: number): string {
    const { files } = this.#world;
    return `${logVersion(files, paths.stdout, segment)} ${versionOf(files.factsNow(paths.live))}`;
  }

  async #read(paths: AttemptPaths): Promise<void> {
    const { files } = this.#world;
    const segment = await newestSegment(files, paths.stdout);
    const seen = this.#versionOf(paths, segment);
    const bytes = await readLogEnd(files, paths.stdout, segment, TAIL_BYTES);
    const logged = files.factsNow(paths.stdout)?.bytes ?? 0;
    const begun = await files.readText(paths.live, LIVE_BYTES_MAX).catch(() => null);
    if (paths.stdout !== this.#paths?.stdout) return;
    this.#seen = seen;
    this.#segment = segment;
    const text = bytes.toString();
    const isWhole = segment === 0 && bytes.byteLength < TAIL_BYTES;
    // a first line that is not whole says nothing, and neither does one that is being written
    const whole = text.slice(isWhole ? 0 : text.indexOf("\n") + 1, text.lastIndexOf("\n") + 1);
    this.#finished = readTranscript(whole, LINES_MAX);
    const reply = begun === null ? null : parseLiveReply(begun);
    this.#live = reply && logged <= reply.logBytes ? liveLines(reply.parts) : [];
  }
}
