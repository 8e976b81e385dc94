import { isTerminal } from "../runs/run-state.ts";
import type { OpenRun, RunView } from "../store/run-store.ts";
import { answerStep, type RecoveryAnswer, type RecoveryStep, recoveryStep } from "../supervision/recovery-decision.ts";
import { detectInterruptedRuns, planRecovery, type RunFacts } from "../supervision/recovery-plan.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { isSameProcess } from "../system/same-process.ts";
import { askToContinue } from "./ask-to-continue.ts";
import type { BackgroundRuns } from "./background-runs.ts";
import type { TakeOver } from "./claim-run.ts";
import { runsToEnd } from "./let-go.ts";
import { type Resumption, resumptionOf, takingOver, tellInterrupted } from "./resumption.ts";
import { factsOfRun, isDrivenElsewhere, requireSilence } from "./run-facts.ts";
import { announceEnd, closedNote } from "./run-report.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";
import { showProgress } from "./widget.ts";

const LOOKED_AT_MAX = 100;

/** What becomes of the project's runs that nobody drives: facts → plan → the user's word → done. */
export class Recovery {
  readonly #session: Session;
  readonly #runs: RunService;
  readonly #background: BackgroundRuns;
  readonly #autoRecover: boolean;
  /** What this session's user said about runs, until it is done; then `none`: nobody asks about a run again. */
  readonly #answers = new Map<string, RecoveryAnswer>();
  /** Runs about which nothing could be done, as was told: it is tried again with each look. */
  readonly #complaints = new Set<string>();
  /** Runs of this process that it could not drive, and has tried to go on with. */
  readonly #triedAgain = new Set<string>();
  #looking = false;

  constructor(session: Session, runs: RunService, background: BackgroundRuns, autoRecover: boolean) {
    this.#session = session;
    this.#runs = runs;
    this.#background = background;
    this.#autoRecover = autoRecover;
  }

  /** What earlier sessions left. `starting`: Pi has just come up; otherwise its session was replaced. */
  async begin(starting: boolean): Promise<void> {
    const when = starting ? "start" : "replaced";
    for (const view of await this.#unended()) if (this.#wasLetGo(view, when)) await this.#goOn(view, starting);
    await this.#followBackground();
    await this.look();
  }

  /**
   * Goes on with an unended run that nobody drives, because the user asks for it; null when there is nothing to take up.
   * Throws a UserError when it goes on, and another session tells of it; and when its owner may be at it.
   */
  async takeUp(runId: string): Promise<ShownRun | null> {
    const taken = await this.#takeUp(runId);
    if (taken !== "elsewhere") return taken;
    const text = `Run ${runId} goes on where it was left. Another session shows it, or /team-status ${runId}.`;
    throw new UserError("shown-elsewhere", text);
  }

  async #takeUp(runId: string): Promise<ShownRun | "elsewhere" | null> {
    const view = await this.#runs.view(runId);
    if (isTerminal(view.state.status) || this.#isActive(runId)) return null;
    const [facts] = await this.#factsOf([view]);
    if (!facts || facts.owner === "alive") return null;
    const nowMs = this.#session.world.clock.now();
    if (facts.owner === "unknown") requireSilence(facts, await this.#factsOf(await this.#unended()), nowMs);
    // it is ended as was asked; then there is an ended run to continue
    const { cancelAsked } = facts.state;
    if (cancelAsked !== null)
      return await this.#close(runId, { cancelReason: cancelAsked, confirmed: true }).then(() => null);
    const { background } = view.manifest;
    const none = background ? "elsewhere" : null;
    if (view.state.releasedBy !== null) return (await this.#takeOver(runId, null, background)) ?? none;
    const step = answerStep(planRecovery(facts, nowMs), "confirm");
    return step.kind === "resume" ? ((await this.#takeOver(runId, resumptionOf(step), background)) ?? none) : null;
  }

  /** Looks for runs whose owner is gone. Never rejects; does nothing while an earlier look waits for an answer. */
  async look(): Promise<void> {
    // without anybody to tell, an interrupted run stays as it is
    if (this.#looking || !this.#session.context?.hasUI) return;
    this.#looking = true;
    try {
      const views = await this.#unended();
      for (const view of views) if (this.#wasLetGo(view, "later")) await this.#goOn(view, true);
      await this.#recoverInterrupted(views);
    } catch (error) {
      this.#session.world.log.error("a look for interrupted runs failed", { error: messageOf(error) });
    } finally {
      this.#looking = false;
    }
  }

  /** Of this folder: a run of another one was not made here, whoever put it here. */
  async #unended(): Promise<RunView[]> {
    const views: RunView[] = [];
    const ids = await this.#runs.store.unended((owner) => isDrivenElsewhere(this.#session.world.processes, owner));
    // of its own runs this process knows better which it drives
    for (const id of ids.filter((it) => !this.#isActive(it)).slice(0, LOOKED_AT_MAX)) {
      const view = await this.#runs.view(id).catch(() => null);
      if (view && !isTerminal(view.state.status) && view.manifest.cwd === this.#session.cwd) views.push(view);
    }
    return views;
  }

  /**
   * By the session before in this very Pi, whose workers are still at it; by a Pi on this machine that has ended since:
   * its user quit, and meant the run to go on next time; or by this process itself, which owns it and could not drive
   * it. While a session is open only background runs are gone on with for a Pi that quit.
   */
  #wasLetGo({ manifest, state }: RunView, when: "start" | "replaced" | "later"): boolean {
    const { status, owner, releasedBy } = state;
    const { runId, background } = manifest;
    const { processes } = this.#session.world;
    if (isTerminal(status)) return false;
    if (owner !== null)
      return isSameProcess(owner, processes.self()) && !this.#isActive(runId) && !this.#triedAgain.has(runId);
    if (releasedBy === null) return false;
    if (when === "replaced") return isSameProcess(releasedBy, processes.self());
    const mayTell = this.#session.context?.hasUI === true;
    return mayTell && (when === "start" || background) && processes.alive(releasedBy) === "dead";
  }

  #isActive(runId: string): boolean {
    return this.#runs.active.some(({ run }) => run.manifest.runId === runId);
  }

  async #goOn({ manifest: { runId, background } }: RunView, starting: boolean): Promise<void> {
    const session = this.#session;
    if (session.closed) return;
    const toEnd = runsToEnd();
    if (!toEnd.has(runId)) this.#triedAgain.add(runId);
    try {
      if (toEnd.has(runId)) return await this.#close(runId, {});
      const taken = await this.#takeOver(runId, null, background);
      if (!taken) return;
      this.#display(taken);
      if (starting)
        session.show(`Run ${runId} goes on where the last session left it. /team-cancel ${runId} ends it.`, "info");
    } catch (error) {
      if (toEnd.has(runId)) return this.#complain(runId, messageOf(error));
      session.world.log.error("a run that was let go of was not gone on with", { runId, error: messageOf(error) });
    }
  }

  /** Those that go on in processes of their own, or ended while no session was there to hear of it. */
  async #followBackground(): Promise<void> {
    if (!this.#session.context?.hasUI) return;
    for (const followed of await this.#background.followAll()) this.#display(followed);
  }

  async #recoverInterrupted(views: readonly RunView[]): Promise<void> {
    const session = this.#session;
    const facts = await this.#factsOf(views);
    const autoRecover = this.#autoRecover;
    for (const plan of detectInterruptedRuns(facts, session.world.clock.now())) {
      if (session.closed) return;
      const { runId } = plan;
      const answer = this.#answers.get(runId);
      const view = views.find(({ manifest }) => manifest.runId === runId);
      const step =
        answer === undefined || answer === "none"
          ? recoveryStep(plan, { autoRecover, canAsk: true, askedBefore: answer !== undefined })
          : answerStep(plan, answer);
      try {
        await this.#apply(step, view?.manifest.background === true);
        if (this.#answers.has(runId)) this.#answers.set(runId, "none");
      } catch (error) {
        // in another session the user said yes, too, and it was faster
        if (await this.#isTakenCareOf(runId)) this.#answers.set(runId, "none");
        else this.#complain(runId, messageOf(error));
      }
    }
  }

  #complain(runId: string, why: string): void {
    if (this.#complaints.has(runId)) return;
    this.#complaints.add(runId);
    this.#session.world.log.error("an interrupted run was not dealt with", { runId, error: why });
    this.#session.show(`Run ${runId} can't be dealt with yet, and is tried again: ${why}`, "error");
  }

  async #isTakenCareOf(runId: string): Promise<boolean> {
    const state = (await this.#runs.view(runId).catch(() => null))?.state;
    if (!state) return false;
    if (isTerminal(state.status) || this.#isActive(runId)) return true;
    return state.owner !== null && isDrivenElsewhere(this.#session.world.processes, state.owner);
  }

  #factsOf(views: readonly RunView[]): Promise<RunFacts[]> {
    return Promise.all(views.map((view) => factsOfRun(this.#session.world, this.#runs.store.crewRoot, view)));
  }

  async #apply(step: RecoveryStep, background: boolean): Promise<void> {
    const { plan } = step;
    switch (step.kind) {
      case "none":
        return;
      case "ask":
        // an Enter that was meant for something else is no yes; the next look asks
        if (!this.#session.dialogs.areWelcome) return;
        return askToContinue(this.#session, this.#runs.store, plan, (answer) => {
          this.#answers.set(plan.runId, answer);
          return this.#apply(answerStep(plan, answer), background);
        });
      case "close": {
        const prepare = (run: OpenRun) => tellInterrupted(plan.proof, run);
        const confirmed = plan.proof === "silence";
        return this.#close(plan.runId, { prepare, cancelReason: step.reason, confirmed });
      }
      case "resume": {
        const taken = await this.#takeOver(plan.runId, resumptionOf(step), background);
        if (taken) this.#display(taken);
        else if (background) this.#session.show(`Run ${plan.runId} goes on, shown by another session.`, "info");
      }
    }
  }

  /** Takes the run over only to end it. Where its log can't tell that, a later look does. */
  async #close(runId: string, how: TakeOver): Promise<void> {
    const taken = await this.#runs.takeOver(runId, how);
    const end = await taken?.done;
    if (end?.kind === "lost") throw end.error;
    if (!taken || !isTerminal(taken.run.state.status)) return;
    const note =
      how.cancelReason === undefined ? `Run ${runId} is ended now, as was asked.` : closedNote(taken.run.state);
    this.#session.show(note, "warning");
  }

  /** In this session, or in a process of its own; null when somebody else was faster, or another session follows it. */
  async #takeOver(runId: string, resumption: Resumption | null, background: boolean): Promise<ShownRun | null> {
    if (background) {
      await this.#background.goOn(runId, resumption);
      for (const run of await this.#background.followAll()) this.#display(run);
      // this session may have followed it all along
      return this.#background.shown.find(({ run }) => run.manifest.runId === runId) ?? null;
    }
    return this.#runs.takeOver(runId, takingOver(this.#session.world, this.#runs.store.crewRoot, resumption));
  }

  #display(run: ShownRun): void {
    showProgress(this.#session, run);
    announceEnd(this.#session, run);
  }
}
