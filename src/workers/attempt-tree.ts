import type { ArtifactRecord, TreeChanges } from "../events/crew-event.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { World } from "../system/world.ts";
import { collectOutputs } from "./artifacts.ts";
import type { AttemptRecord } from "./attempt-record.ts";
import { Checkpoints } from "./checkpoint.ts";
import { answerDemand, type DemandAnswer, demandedNow } from "./checkpoint-demand.ts";
import { Git } from "./git.ts";
import type { KindResult } from "./kind.ts";
import type { LeftBehind } from "./left-behind.ts";
import { failed } from "./pi-outcome.ts";
import type { StepRequest } from "./step-contract.ts";

/** Between two looks whether somebody wants a checkpoint. */
const demandMs = 1000;
/** One call of git; a large tree takes seconds. */
const gitMs = 30_000;
/** Of an attempt that was told to stop: who told it waits. */
const hurriedMs = 1000;

/** The work folder of one attempt, from before it begins until after it ends. */
export class AttemptTree {
  readonly #world: World;
  readonly #request: StepRequest;
  readonly #record: Pick<AttemptRecord, "event" | "stderr" | "sync">;
  readonly #checkpoints: Checkpoints;
  #begun: Promise<string | null> | null = null;
  #demands: Disposable | null = null;
  #taking: Promise<unknown> = Promise.resolve();
  /** Why there are none, or the last one could not be taken. */
  #problem: string | null = null;
  #answering = false;

  constructor(world: World, request: StepRequest, record: Pick<AttemptRecord, "event" | "stderr" | "sync">) {
    this.#world = world;
    this.#request = request;
    this.#record = record;
    const { attempt: number, runtime, checkpoint } = request;
    const place = { folder: runtime.attemptFolder, number, hint: checkpoint?.summaryHint ?? "" };
    this.#checkpoints = new Checkpoints(world, place, (type, detail) => record.event(type, detail));
  }

  /** Whether the tree has to be made what it was, so that nothing can begin when that fails. */
  get restores(): boolean {
    return (this.#request.checkpoint?.resumeFromSeq ?? null) !== null;
  }

  /**
   * To be awaited before anything is changed: makes the claim last, too. Resolves to why the tree is not as it was asked
   * for; null when it is. Rejects when `claimed` does, or the claim can't be made to last.
   */
  begin(claimed: Promise<void>): Promise<string | null> {
    this.#begun ??= claimed.then(() => this.#record.sync()).then(() => this.#begin());
    return this.#begun;
  }

  /** A model that used no tool has not waited for `begin`. What was spent counts, also when the claim can't be kept. */
  async settle(result: KindResult, claimed: Promise<void>, stopped: boolean): Promise<KindResult> {
    if (stopped && this.#begun === null) return result;
    const problem = await this.begin(claimed).then(() => null, messageOf);
    if (problem === null) return result;
    return { ...result, ...failed("transient", "claim", `The attempt can't be recorded: ${problem}`) };
  }

  async #begin(): Promise<string | null> {
    const { checkpoint, runtime } = this.#request;
    if (!checkpoint) return null;
    const wanted = checkpoint.resumeFromSeq ?? null;
    try {
      const { GIT_CEILING_DIRECTORIES } = runtime.env;
      const env = GIT_CEILING_DIRECTORIES === undefined ? {} : { GIT_CEILING_DIRECTORIES };
      await this.#checkpoints.begin(new Git(this.#world.processes, runtime.worktreePath, gitMs, env));
      if (wanted !== null) await this.#checkpoints.restore(wanted, "unkept");
    } catch (error) {
      if (wanted !== null) return messageOf(error);
      this.#problem = messageOf(error);
      this.#record.stderr(`[no checkpoints: ${this.#problem}]\n`);
    }
    this.#demands = this.#world.clock.every(demandMs, () => void this.#answerDemand());
    return null;
  }

  /** Takes what is handed over, and the last checkpoint. `hurried`: somebody waits for the end. Never rejects. */
  async conclude(result: KindResult, hurried: boolean): Promise<{ result: KindResult; left: LeftBehind }> {
    const { artifacts, problem } = await this.#outputs(result);
    await this.#begun?.catch(() => null);
    this.#demands?.[Symbol.dispose]();
    const changes = await this.#take("end", hurried ? hurriedMs : gitMs);
    await this.#checkpoints.close();
    return { result: problem ?? result, left: { changes, artifacts, checkpoints: this.#checkpoints.taken } };
  }

  async #outputs(result: KindResult): Promise<{ artifacts: ArtifactRecord[]; problem: KindResult | null }> {
    const { output = [], runtime } = this.#request;
    if (result.outcome !== "completed" || output.length === 0) return { artifacts: [], problem: null };
    try {
      const { files } = this.#world;
      const artifacts = await collectOutputs(files, runtime.worktreePath, output, runtime.attemptFolder);
      return { artifacts, problem: null };
    } catch (error) {
      const kind = error instanceof UserError ? error.code : "output";
      // an agent that forgot a file may write it the next time
      return { artifacts: [], problem: { ...result, ...failed("transient", kind, messageOf(error)) } };
    }
  }

  async #answerDemand(): Promise<void> {
    const { files, log } = this.#world;
    const folder = this.#request.runtime.attemptFolder;
    const demand = this.#answering ? "" : demandedNow(files, folder);
    if (demand === "") return;
    this.#answering = true;
    try {
      const measured = (await this.#take("demand", gitMs)) !== null;
      const answer: DemandAnswer = {
        seq: this.#checkpoints.taken.at(-1)?.seq ?? null,
        problem: measured ? null : this.#problem,
      };
      await answerDemand(files, folder, demand, answer);
    } catch (error) {
      log.warn("a demand for a checkpoint was not answered", { folder, error: messageOf(error) });
    } finally {
      this.#answering = false;
    }
  }

  /** One after the other: they share an index. Null when nothing could be measured. */
  #take(why: "demand" | "end", limitMs: number): Promise<TreeChanges | null> {
    const taking = this.#taking.then(async () => {
      try {
        await this.#begun;
        return (await this.#checkpoints.take(why, limitMs))?.changes ?? null;
      } catch (error) {
        this.#problem = messageOf(error);
        this.#record.stderr(`[no checkpoint: ${this.#problem}]\n`);
        return null;
      }
    });
    this.#taking = taking;
    return taking;
  }
}
