import { attemptFolder } from "../store/layout.ts";
import { messageOf } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { readTranscript, type TranscriptLine } from "../views/transcript.ts";
import { attemptPaths } from "../workers/attempt-folder.ts";

/** Of a log's end: a tool's result is one line of up to 50 kB. */
const TAIL_BYTES = 256 * 1024;
const LINES_MAX = 500;

/** The end of one attempt's log, read anew when it has grown. */
export class DashboardTranscript {
  lines: readonly TranscriptLine[] = [];
  readonly #world: Pick<World, "files" | "log">;
  #path = "";
  #bytes = 0;
  #reading = false;

  constructor(world: Pick<World, "files" | "log">) {
    this.#world = world;
  }

  /** Follows the attempt, or nothing; `read` when there is something new. */
  follow(crewRoot: string, place: { runId: string; taskId: string; attempt: number } | null, read: () => void): void {
    const path = place ? attemptPaths(attemptFolder(crewRoot, place.runId, place.taskId, place.attempt)).stdout : "";
    if (path !== this.#path) {
      this.lines = [];
      this.#bytes = 0;
    }
    this.#path = path;
    const bytes = path === "" ? 0 : (this.#world.files.factsNow(path)?.bytes ?? 0);
    if (bytes === this.#bytes || this.#reading) return;
    this.#reading = true;
    this.#read(path, bytes)
      .catch((error: unknown) => this.#world.log.warn("a transcript was not read", { path, error: messageOf(error) }))
      .finally(() => {
        this.#reading = false;
        read();
      });
  }

  async #read(path: string, size: number): Promise<void> {
    const from = Math.max(0, size - TAIL_BYTES);
    const bytes = await this.#world.files.readRange(path, from, size - from);
    if (path !== this.#path) return;
    this.#bytes = size;
    const text = Buffer.from(bytes ?? []).toString();
    // a first line that is not whole says nothing, and neither does one that is being written
    const whole = text.slice(from > 0 ? text.indexOf("\n") + 1 : 0, text.lastIndexOf("\n") + 1);
    this.lines = readTranscript(whole, LINES_MAX);
  }
}
