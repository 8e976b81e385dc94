import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("host/session.mjs", import.meta.url));

/** A process that composes what a Pi session composes, with the real extension in it. */
export class SoakSession {
  readonly pid: number;
  readonly exited: Promise<void>;
  /** Resolves when the extension has been told that the session started, or when the process is gone. */
  readonly opened: Promise<void>;
  readonly #child: ChildProcess;
  #gone = false;
  #leaving = false;

  constructor(place: { cwd: string; env: Record<string, string> }, onError: (text: string) => void) {
    this.#child = spawn(process.execPath, [script], { ...place, stdio: ["ignore", "ignore", "pipe", "ipc"] });
    const child = this.#child;
    this.pid = child.pid ?? 0;
    this.exited = new Promise((resolve) => child.once("exit", () => resolve()));
    void this.exited.then(() => {
      this.#gone = true;
    });
    // a session that is leaving refuses what it was asked just before
    const complain = (text: string) => !this.#leaving && onError(text);
    child.stderr?.on("data", (chunk: Buffer) => complain(chunk.toString()));
    this.opened = Promise.race([
      this.exited,
      new Promise<void>((resolve) => {
        child.on("message", (message: { told: string; text?: string }) => {
          if (message.told === "open") resolve();
          else if (message.told === "error") complain(message.text ?? "");
        });
      }),
    ]);
  }

  get gone(): boolean {
    return this.#gone;
  }

  run(workflow: string, goal: string, background: boolean): void {
    const mode = background ? { background: true } : {};
    this.#send({ ask: "team", action: "run", team: "soak", workflow, goal, ...mode });
  }

  /**
   * By a dead letter, or as it is. Resolves when the new run has ended: with the sentence of a refusal, or null, also when
   * the session is gone.
   */
  async goOn(runId: string, deadLetterId: string | null): Promise<string | null> {
    const answer = new Promise<string | null>((resolve) => {
      this.#child.on("message", (message: { told: string; refusal: string | null }) => {
        if (message.told === "again") resolve(message.refusal);
      });
    });
    this.#send({ ask: "again", ...(deadLetterId ? { action: "redrive", deadLetterId } : { action: "resume", runId }) });
    return Promise.race([answer, this.exited.then(() => null)]);
  }

  /** Resolves with whether the session says that it did, or that the run's owner was asked to; not when it is killed. */
  async cancel(runId: string): Promise<boolean> {
    const answer = new Promise<boolean>((resolve) => {
      this.#child.on("message", (message: { told: string; runId?: string; heard?: boolean }) => {
        if (message.told === "cancel" && message.runId === runId) resolve(message.heard === true);
      });
    });
    this.#send({ ask: "cancel", runId });
    return Promise.race([answer, this.exited.then(() => false)]);
  }

  /** Another session in the same process, as after `/new`. */
  replace(): void {
    this.#send({ ask: "replace" });
  }

  /** As a user does: what is under way is released. */
  async quit(): Promise<void> {
    this.#leaving = true;
    if (this.#child.connected) this.#child.disconnect();
    await this.exited;
  }

  #send(message: object): void {
    if (this.#child.connected) this.#child.send(message, () => undefined);
  }
}
