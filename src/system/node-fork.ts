import { type ChildProcess as NodeChild, spawn } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import type { ChildExit, ChildProcess, Processes } from "./world.ts";

const OUTPUT = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | (constants.O_NOFOLLOW ?? 0);

/** A Node process of ours in a group of its own, with a channel to it. */
export class NodeForkedProcess implements ChildProcess {
  readonly pid: number;
  readonly exited: Promise<ChildExit>;
  readonly #child: NodeChild;

  constructor(options: Parameters<Processes["fork"]>[0]) {
    const output = openSync(options.outputFile, OUTPUT, 0o600);
    try {
      this.#child = spawn(options.execPath, options.args, {
        cwd: options.cwd,
        env: options.env,
        detached: true,
        windowsHide: true,
        stdio: ["ignore", output, output, "ipc"],
      });
    } finally {
      closeSync(output);
    }
    const child = this.#child;
    // 0 when nothing was started; `error` follows, and `exited` tells
    this.pid = child.pid ?? 0;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
      child.on("error", () => {
        if (child.pid !== undefined) return;
        if (child.connected) child.disconnect();
        resolve({ code: null, signal: null });
      });
    });
  }

  send(message: unknown): boolean {
    if (!this.#child.connected) return false;
    try {
      // a failed write arrives at the callback; the end of the child tells the rest
      this.#child.send(message as object, () => undefined);
      return true;
    } catch {
      return false;
    }
  }

  onMessage(handler: (message: unknown) => void): void {
    this.#child.on("message", handler);
  }

  detach(): void {
    if (this.#child.connected) this.#child.disconnect();
    this.#child.unref();
  }

  keepAlive(on: boolean): void {
    if (on) {
      this.#child.ref();
      this.#child.channel?.ref();
    } else {
      this.#child.unref();
      this.#child.channel?.unref();
    }
  }
}
