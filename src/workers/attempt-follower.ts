import { join } from "node:path";
import type { AttemptProgress, KeptCheckpoint } from "../runs/execute.ts";
import { messageOf } from "../system/errors.ts";
import { versionOf } from "../system/file-version.ts";
import type { Liveness, ProcessIdentity, World } from "../system/world.ts";
import { attemptPaths, readAttemptState } from "./attempt-folder.ts";
import { checkpointsIn, keptCheckpointOf } from "./checkpoint-files.ts";
import { logBytesMax } from "./limited-log.ts";
import type { LineReader } from "./line-reader.ts";
import { LineSplitter, lastLineOf } from "./line-splitter.ts";
import { logVersion, newestSegment, readLogEnd } from "./log-tail.ts";
import { emptyTally, type PiTally } from "./pi-events.ts";
import { ProgressQueue } from "./progress-queue.ts";
import type { AttemptState, StepResult } from "./step-contract.ts";

const pollMs = 250;
/** Each file that a worker writes is several changes of its folder; a look at each would cost its owner much. */
const gatherMs = 10;
/** Between two looks at a process that is not our child: on some systems each starts a program. */
const probeMs = 2000;
const probeHurriedMs = 100;
const chunkBytes = 1024 * 1024;
const outputLineBytesMax = 2000;

export type AttemptEnd =
  | { kind: "ended"; result: StepResult }
  /** The worker is provably gone without an end; `tally` is what it had used up. */
  | { kind: "gone"; tally: PiTally; startedAt: string | null }
  /** The follower was told to stop. */
  | { kind: "stopped"; tally: PiTally; startedAt: string | null };

export type SeenWorker = { workerId: string; pid: number };

export interface AttemptAudience {
  /** Once, when the attempt's records show who does it or has done it; `startedAt` is ISO 8601 of one at work. */
  worker(worker: SeenWorker, startedAt: string | null): void;
  progress(progress: AttemptProgress): void;
  /** Whenever what was used has grown; with all that stands in the attempt's files. */
  used(tally: PiTally): void;
  /** Each once, in order. */
  checkpoint(checkpoint: KeptCheckpoint): void;
  /** Whether it is our child, whose end we are told (`childGone`). */
  isOurs(worker: SeenWorker): boolean;
}

/** Follows an attempt through its files, whoever does it: the owner's side of a new worker and of an adopted one. */
export class AttemptFollower {
  readonly #world: World;
  readonly #folder: string;
  readonly #paths: ReturnType<typeof attemptPaths>;
  readonly #audience: AttemptAudience;
  readonly #stop = new AbortController();
  #wake = new AbortController();
  #nudge: Disposable | null = null;
  #childGone = false;
  #offset = 0;
  #tailVersion = "";
  #checkpointsAtMs = 0;
  #checkpointSeq = 0;
  readonly #reader: LineReader | null;
  readonly #lines = new LineSplitter();
  #tally: PiTally = emptyTally;
  #toldTokens = emptyTally.tokens;
  #state: AttemptState | null = null;
  #stateVersion = "";
  #workerSeen = false;
  #probed: { atMs: number; found: Liveness } | null = null;
  #probeMs = probeMs;
  readonly #progress: ProgressQueue;

  constructor(world: World, folder: string, reader: LineReader | null, audience: AttemptAudience) {
    this.#reader = reader;
    this.#world = world;
    this.#folder = folder;
    this.#paths = attemptPaths(folder);
    this.#audience = audience;
    this.#progress = new ProgressQueue(world.clock, (progress) => audience.progress(progress));
  }

  /** A file was written, and more may follow at once: look soon. */
  #lookSoon(): void {
    this.#nudge ??= this.#world.clock.after(gatherMs, () => {
      this.#nudge = null;
      this.poke();
    });
  }

  /** Something has changed: look now. */
  poke(): void {
    this.#wake.abort("poked"); // without a reason an error with its stack is made, each time
  }

  /** The process given the attempt is gone: nothing more will come unless the attempt is another's. */
  childGone(): void {
    this.#childGone = true;
    this.poke();
  }

  /** The worker was sent a signal: its end is to be noticed soon. */
  hurry(): void {
    this.#probeMs = probeHurriedMs;
    this.poke();
  }

  stop(): void {
    this.#stop.abort();
    this.poke();
  }

  /** The worker's process, once it has claimed the attempt and until its end. */
  get worker(): (ProcessIdentity & { workerId: string }) | null {
    return this.#state?.status === "running" ? this.#state : null;
  }

  /** Resolves once, with all progress told. Keeps this process alive until then. */
  async follow(): Promise<AttemptEnd> {
    const watch = this.#world.files.watch(this.#folder, () => this.#lookSoon());
    try {
      for (;;) {
        this.#wake = new AbortController();
        const end = await this.#look();
        if (end) return end;
        await this.#world.clock.sleep(pollMs, this.#wake.signal);
      }
    } finally {
      watch[Symbol.dispose]();
      this.#nudge?.[Symbol.dispose]();
    }
  }

  async #look(): Promise<AttemptEnd | null> {
    await this.#read();
    let gone = this.#isGone();
    if (gone) {
      // all it ever wrote was written before it was found gone
      await this.#read();
      gone = this.#isGone();
    }
    const state = this.#state;
    const over = gone || state?.status === "ended";
    this.#progress.tell(over);
    if (state?.status === "ended") return { kind: "ended", result: state.result };
    const rest = { tally: this.#tally, startedAt: state?.startedAt ?? null };
    if (gone) return { kind: "gone", ...rest };
    return this.#stop.signal.aborted ? { kind: "stopped", ...rest } : null;
  }

  /** The state before the output: what an end sums up has then been read. */
  async #read(): Promise<void> {
    try {
      await this.#readState();
      await this.#readOutput();
      this.#tellUsed();
      await this.#readCheckpoints();
    } catch (error) {
      this.#world.log.warn("attempt not readable", { folder: this.#folder, error: messageOf(error) });
    }
  }

  #isGone(): boolean {
    const worker = this.worker;
    if (!worker || this.#audience.isOurs(worker)) return this.#childGone;
    const now = this.#world.clock.monotonicMs();
    if (!this.#probed || now - this.#probed.atMs >= this.#probeMs)
      this.#probed = { atMs: now, found: this.#world.processes.alive(worker) };
    return this.#probed.found === "dead";
  }

  async #readState(): Promise<void> {
    // at once: a hop to the thread pool costs ten times the look, and a worker that writes wakes us often
    const version = versionOf(this.#world.files.factsNow(this.#paths.state));
    if (version === this.#stateVersion) return;
    this.#state = await readAttemptState(this.#world.files, this.#folder);
    this.#stateVersion = version;
    if (!this.#state || this.#workerSeen) return;
    this.#workerSeen = true;
    if (this.#state.status === "running") this.#audience.worker(this.#state, this.#state.startedAt);
    else this.#audience.worker(this.#state.result.metadata, null);
  }

  async #readOutput(): Promise<void> {
    for (;;) {
      const path = this.#paths.stdout;
      const bytes = await this.#world.files.readRange(path, this.#offset, chunkBytes);
      if (!bytes || bytes.byteLength === 0) return await this.#readTail(path);
      this.#offset += bytes.byteLength;
      if (this.#reader) for (const line of this.#lines.push(bytes)) this.#takeLine(this.#reader, line);
      else this.#takeOutput(bytes);
    }
  }

  /** Of a program's output more than its log holds: events are in the log itself, whatever its size. */
  async #readTail(log: string): Promise<void> {
    const { files } = this.#world;
    if (this.#reader || this.#offset < logBytesMax) return;
    const segment = await newestSegment(files, log);
    const version = logVersion(files, log, segment);
    if (segment === 0 || version === this.#tailVersion) return;
    this.#tailVersion = version;
    this.#takeOutput(await readLogEnd(files, log, segment, outputLineBytesMax));
  }

  async #readCheckpoints(): Promise<void> {
    const folder = join(this.#folder, "checkpoints");
    const facts = this.#world.files.factsNow(folder);
    if (facts?.kind !== "directory" || facts.modifiedMs === this.#checkpointsAtMs) return;
    this.#checkpointsAtMs = facts.modifiedMs;
    for (const checkpoint of await checkpointsIn(this.#world.files, folder)) {
      if (checkpoint.seq <= this.#checkpointSeq) continue;
      this.#checkpointSeq = checkpoint.seq;
      this.#audience.checkpoint(keptCheckpointOf(checkpoint));
    }
  }

  #tellUsed(): void {
    if (this.#tally.tokens === this.#toldTokens) return;
    this.#toldTokens = this.#tally.tokens;
    this.#audience.used(this.#tally);
  }

  /** A program's own output, which may be anything: the newest line is shown. */
  #takeOutput(bytes: Uint8Array): void {
    const text = lastLineOf(bytes, outputLineBytesMax);
    if (text !== "") this.#progress.replace({ text });
  }

  #takeLine(reader: LineReader, line: string): void {
    const event = reader.parse(line);
    if (!event) return;
    this.#tally = reader.fold(this.#tally, event);
    const shown = reader.progressOf(event);
    if (shown) this.#progress.add(shown.progress, shown.toolCallId);
  }
}
