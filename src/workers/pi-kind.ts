import { messageOf, UserError } from "../system/errors.ts";
import type { Clock, Files } from "../system/world.ts";
import type { AttemptKind, KindContext, KindResult } from "./kind.ts";
import { emptyTally, foldPiEvent, logLineOf, type PiEvent, type PiTally, usageByModel } from "./pi-events.ts";
import { PiLive } from "./pi-live.ts";
import { PiMail } from "./pi-mail.ts";
import { blocked, failed, followUpOf, judgePiEnd, type PiVerdict, type StopCause } from "./pi-outcome.ts";
import {
  type HostSession,
  type OpenSession,
  openSession,
  type PreparedServices,
  prepareServices,
  requireSdk,
} from "./pi-session.ts";
import { resourceFingerprint } from "./resource-fingerprint.ts";
import { type RetryAfterWatch, watchRetryAfter } from "./retry-after.ts";
import type { StepRequest } from "./step-contract.ts";

export interface PiKindOptions {
  clock: Clock;
  files: Files;
  loadHost(): Promise<unknown>;
  agentDir: string;
  extensionPaths: readonly string[];
  noExtensions: boolean;
}

/** By then the model's first request is on its way. */
const askedMs = 50;

interface Prepared {
  cwd: string;
  /** Of the files the services were made from. */
  fingerprint: string;
  services: Promise<PreparedServices>;
}

/** Kind `pi`: a session of the host's SDK within this process. Services are made ahead and used once. */
export function createPiKind(options: PiKindOptions): AttemptKind {
  let prepared: Prepared | null = null;
  let current: PiAttempt | null = null;

  const fingerprintOf = (cwd: string) => resourceFingerprint(options.files, options.agentDir, cwd);
  const make = async (cwd: string): Promise<Prepared> => {
    const fingerprint = await fingerprintOf(cwd);
    const services = options.loadHost().then((module) => prepareServices(requireSdk(module), { ...options, cwd }));
    services.catch(() => undefined); // told to whoever takes it
    return { cwd, fingerprint, services };
  };
  const take = async (cwd: string): Promise<PreparedServices> => {
    const ahead = prepared;
    prepared = null;
    const fits = ahead?.cwd === cwd && ahead.fingerprint === (await fingerprintOf(cwd));
    return await (ahead && fits ? ahead : await make(cwd)).services;
  };

  return {
    load: () =>
      options.loadHost().then(
        () => undefined,
        () => undefined, // told to the attempt
      ),
    prepare: async (cwd) => {
      prepared = await make(cwd);
      await prepared.services.catch(() => undefined);
    },
    run: async (request, context) => {
      const attempt = new PiAttempt(options, request, context);
      current = attempt;
      const result = await attempt.run(take);
      current = null;
      return result;
    },
    partial: () => current?.partial() ?? null,
  };
}

class PiAttempt {
  readonly #world: { clock: Clock; files: Files };
  readonly #request: StepRequest;
  readonly #context: KindContext;
  readonly #live = new PiLive();
  #tally: PiTally = emptyTally;
  #stopCause: StopCause = null;

  constructor(world: { clock: Clock; files: Files }, request: StepRequest, context: KindContext) {
    this.#world = world;
    this.#request = request;
    this.#context = context;
  }

  partial(): KindResult {
    return this.#result(failed("transient", "worker-crashed", "The worker did not come to an end."));
  }

  async run(take: (cwd: string) => Promise<PreparedServices>): Promise<KindResult> {
    const pi = this.#request.assignment;
    if (!pi) return this.#result(failed("permanent", "request", "A step of kind pi needs an agent."));
    let open: OpenSession | null = null;
    try {
      const services = await take(this.#request.runtime.worktreePath);
      const onWarning = (text: string) => this.#context.stderr(`${text}\n`);
      open = await openSession(services, pi.agent, () => this.#context.claimed, onWarning, this.#world.clock);
    } catch (error) {
      await this.#context.taken;
      return this.#result(setupFailure(error));
    }
    using retryAfter = watchRetryAfter();
    try {
      await this.#context.taken;
      const thrown = await this.#ask(open, pi.prompt, pi.agent.maxTurns, retryAfter);
      return this.#result(
        judgePiEnd({
          tally: this.#tally,
          stopCause: this.#stopCause,
          thrown,
          retryAfter: retryAfter.seen(),
          timeoutSec: this.#request.timeoutSec,
          maxTurns: pi.agent.maxTurns,
        }),
      );
    } finally {
      if (!(await open.close())) this.#context.spoil();
    }
  }

  /** What the host threw; empty when it came to an end of its own. */
  async #ask(
    { session }: OpenSession,
    prompt: string,
    maxTurns: number | null,
    retryAfter: RetryAfterWatch,
  ): Promise<string> {
    const { signal } = this.#context;
    const stop = (cause: StopCause) => {
      this.#stopCause ??= cause;
      session.abort().catch((error: unknown) => this.#context.stderr(`${messageOf(error)}\n`));
    };
    const onAbort = () => stop(signal.reason === "timeout" ? "timeout" : "cancelled");
    if (signal.aborted) {
      onAbort();
      return "";
    }
    const unsubscribe = session.subscribe((event) => {
      this.#take(event);
      if (event.type === "turn_end" && this.#tally.stopReason !== "error") retryAfter.clear();
      const more = event.type === "turn_end" && this.#tally.stopReason === "toolUse";
      if (more && maxTurns !== null && this.#tally.turns >= maxTurns) stop("max-turns");
    });
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.#context.stdout(JSON.stringify(session.sessionManager.getHeader()));
      await this.#converse(session, prompt);
      return "";
    } catch (error) {
      return messageOf(error) || "The host ended the session.";
    } finally {
      signal.removeEventListener("abort", onAbort);
      unsubscribe();
    }
  }

  /** Until the model has ended its turn and nothing is left to be told. */
  async #converse(session: HostSession, prompt: string): Promise<void> {
    const note = (text: string) => this.#context.stderr(`${text}\n`);
    // once the model was asked: what starts programs would hold up its request
    using _remembering = this.#world.clock.after(askedMs, () => {
      // no tool would run any more
      this.#context.claimed.catch(() => session.abort());
    });
    const mail = new PiMail(this.#world, this.#request.runtime.attemptFolder, session, note);
    using _following = mail.follow();
    let text = await mail.opening(prompt);
    while (text !== "" && this.#stopCause === null) {
      // without expansion: a task that begins with "/" is no command
      await session.prompt(text, { expandPromptTemplates: false });
      // a model that can't be reached is told no more; the next attempt is told everything
      text = this.#tally.stopReason === "error" ? "" : await mail.rest();
    }
  }

  #take(event: PiEvent): void {
    this.#tally = foldPiEvent(this.#tally, event);
    if (this.#live.take(event)) this.#context.live(() => this.#live.parts());
    const line = logLineOf(event);
    if (line !== null) this.#context.stdout(line);
  }

  #result(verdict: PiVerdict): KindResult {
    const { lastText, lastModel, tokens, costUsd, hostRetries } = this.#tally;
    const usage = usageByModel(this.#tally);
    const suggestedFollowup = followUpOf(lastText);
    return { ...verdict, summary: lastText, model: lastModel, tokens, costUsd, usage, hostRetries, suggestedFollowup };
  }
}

function setupFailure(error: unknown): PiVerdict {
  const message = messageOf(error);
  if (!(error instanceof UserError)) return failed("permanent", "session-setup", message);
  return error.code === "host-sdk" ? blocked(error.code, message) : failed("permanent", error.code, message);
}
