import { messageOf, UserError } from "../system/errors.ts";
import { nodeWorld } from "../system/node.ts";
import { filesAtOnce } from "../system/node-files-now.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import type { Log } from "../system/world.ts";
import { AttemptHistory } from "./attempt-history.ts";
import { createCodexKind } from "./codex-kind.ts";
import { createGitKind } from "./git-kind.ts";
import { createPiKind } from "./pi-kind.ts";
import { createShellKind } from "./shell-kind.ts";
import { WorkerHost } from "./wrapper.ts";
import { isOwnerMessage, type WrapperMessage, type WrapperOptions, type WrapperProcess } from "./wrapper-messages.ts";

/** Composes the wrapper from its real process. Called once, by `start.mjs`. */
export function main(start: {
  options: WrapperOptions;
  /** For messages only. */
  hostEntry: string;
  env: NodeJS.ProcessEnv;
  loadHost(): Promise<unknown>;
}): void {
  const { options } = start;
  const real = nodeWorld(outputLog());
  const world = { ...real, files: filesAtOnce(real.files) };
  const loadHost = () =>
    start.loadHost().catch((error: unknown) => {
      const message = `The host's SDK could not be loaded from ${start.hostEntry}: ${messageOf(error)}`;
      throw new UserError("host-sdk", message, { cause: error });
    });
  const pi = createPiKind({
    clock: world.clock,
    files: world.files,
    loadHost,
    agentDir: options.agentDir,
    extensionPaths: options.extensionPaths,
    noExtensions: options.noExtensions,
  });
  const { agentDir } = options;
  const wrapperProcess: WrapperProcess = {
    // of the environment it was started with: an attempt adds no secret to it
    redactor: openRedactor({ files: world.files, env: { ...start.env }, agentDir }),
    tell,
    enter: (environment, cwd, output) => enter(start.env, environment, cwd, output),
    exit: (code) => {
      if (code !== 0) return process.exit(code);
      // the owner keeps the output of a wrapper that failed
      void world.files.remove(options.outputFile).finally(() => process.exit(code));
    },
  };
  const history = new AttemptHistory(world, agentDir, wrapperProcess.redactor);
  const commands = { shell: createShellKind(world), git: createGitKind(world), codex: createCodexKind(world) };
  const host = new WorkerHost(world, wrapperProcess, { pi, ...commands }, options.cwd, history);
  const failed = (error: unknown) => void host.crash(error);
  process.on("message", (message) => {
    if (isOwnerMessage(message)) host.take(message).catch(failed);
  });
  process.on("disconnect", () => host.leave());
  process.on("SIGTERM", () => host.terminate());
  process.on("SIGINT", () => host.terminate());
  process.on("SIGHUP", () => undefined); // the terminal may go, the attempt stays
  process.on("uncaughtException", failed);
  process.on("unhandledRejection", (reason) => world.log.warn("unhandled rejection", { error: messageOf(reason) }));
  host.prepare(options.warm).catch(failed);
  // the owner may have gone while we were loading; a message it sent before is delivered first
  process.nextTick(() => {
    if (!process.connected) host.leave();
  });
}

function tell(message: WrapperMessage): void {
  if (!process.connected) return;
  process.send?.(message, undefined, undefined, () => undefined);
}

/** To the wrapper's output file; during an attempt it is the attempt's stderr.log. */
function outputLog(): Log {
  const write = (level: string, message: string, fields: Record<string, unknown> = {}) =>
    void process.stderr.write(`${JSON.stringify({ level, message, ...fields })}\n`);
  return {
    warn: (message, fields) => write("warn", message, fields),
    error: (message, fields) => write("error", message, fields),
  };
}

function enter(
  env: NodeJS.ProcessEnv,
  environment: Readonly<Record<string, string>>,
  cwd: string,
  output: (text: string) => void,
): () => void {
  const before = new Map(Object.keys(environment).map((name) => [name, env[name]]));
  const folder = process.cwd();
  const streams = [process.stdout, process.stderr].map((stream) => ({ stream, write: stream.write }));
  Object.assign(env, environment);
  changeFolder(cwd);
  for (const { stream } of streams) stream.write = diverted(output);
  let left = false;
  return () => {
    if (left) return;
    left = true;
    for (const { stream, write } of streams) stream.write = write;
    changeFolder(folder);
    for (const [name, value] of before) {
      if (value === undefined) delete env[name];
      else env[name] = value;
    }
  };
}

/** A folder that is not there shows in the attempt itself, with a better message. */
function changeFolder(path: string): void {
  try {
    process.chdir(path);
  } catch {
    // stays where it is
  }
}

/** Extensions print to the terminal that is not there. */
function diverted(output: (text: string) => void): typeof process.stdout.write {
  return (chunk: string | Uint8Array, encoding?: unknown, done?: unknown): boolean => {
    output(typeof chunk === "string" ? chunk : Buffer.from(chunk).toString("utf8"));
    const callback = typeof encoding === "function" ? encoding : done;
    if (typeof callback === "function") process.nextTick(callback as () => void);
    return true;
  };
}
