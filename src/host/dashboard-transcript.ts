import { attemptFolder } from "../store/layout.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { readTranscript, type TranscriptLine } from "../views/transcript.ts";
import { attemptPaths } from "../workers/attempt-folder.ts";
import { logVersion, newestSegment, readLogEnd } from "../workers/log-tail.ts";

/** Of a log's end: a tool's result is one line of up to 50 kB. */
const TAIL_BYTES = 256 * 1024;
const LINES_MAX = 500;

/** The end of one attempt's log, read anew when it has grown. */
export class DashboardTranscript {
  lines: readonly TranscriptLine[] = [];
  readonly #world: Pick<World, "files" | "log">;
  #path = "";
  #version = "";
  /** Of the log's tail; 0 while all is in the log itself. */
  #segment = 0;
  #reading = false;

  constructor(world: Pick<World, "files" | "log">) {
    this.#world = world;
  }

  /** Follows the attempt, or nothing; `read` when there is something new. */
  follow(crewRoot: string, place: { runId: string; taskId: string; attempt: number } | null, read: () => void): void {
    const path = place ? attemptPaths(attemptFolder(crewRoot, place.runId, place.taskId, place.attempt)).stdout : "";
    if (path !== this.#path) {
      this.lines = [];
      this.#version = "";
      this.#segment = 0;
    }
    this.#path = path;
    const version = path === "" ? "" : logVersion(this.#world.files, path, this.#segment);
    if (version === this.#version || this.#reading) return;
    this.#reading = true;
    this.#read(path)
      .catch((error: unknown) => this.#world.log.warn("a transcript was not read", { path, error: messageOf(error) }))
      .finally(() => {
        this.#reading = false;
        read();
      });
  }

  async #read(path: string): Promise<void> {
    const { files } = this.#world;
    const segment = path === "" ? 0 : await newestSegment(files, path);
    const version = path === "" ? "" : logVersion(files, path, segment);
    const bytes = path === "" ? Buffer.alloc(0) : await readLogEnd(files, path, segment, TAIL_BYTES);
    if (path !== this.#path) return;
    this.#version = version;
    this.#segment = segment;
    const text = bytes.toString();
    const isWhole = segment === 0 && bytes.byteLength < TAIL_BYTES;
    // a first line that is not whole says nothing, and neither does one that is being written
    const whole = text.slice(isWhole ? 0 : text.indexOf("\n") + 1, text.lastIndexOf("\n") + 1);
    this.lines = readTranscript(whole, LINES_MAX);
  }
}
