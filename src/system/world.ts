/** The world as parameters. `node.ts` is the only real implementation; tests pass their own. */

export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonicMs(): number;
  /** Calls `tick` every `ms`; never keeps the process alive. */
  every(ms: number, tick: () => void): Disposable;
  /** Calls `fire` once after `ms`; never keeps the process alive. */
  after(ms: number, fire: () => void): Disposable;
  /** Resolves after `ms`, or at once (not rejecting) when the signal aborts. Keeps the process alive. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export interface Random {
  /** In [0, 1). */
  next(): number;
  /** `bytes` random bytes, lowercase hex. */
  hex(bytes: number): string;
}

export interface FileFacts {
  kind: "file" | "directory" | "symlink" | "other";
  bytes: number;
  modifiedMs: number;
  links: number;
  inode: number;
}

/** A file open for appending only. */
export interface AppendHandle {
  /** One write(2). Throws the system's error; a short write throws too. */
  write(data: Uint8Array | string): void;
  /** fdatasync. Calls that wait together share one. */
  sync(): Promise<void>;
  close(): void;
}

/** What `read` and `readText` take at most when nobody says: more than any whole file of ours may have. */
export const FILE_BYTES_MAX = 64 * 1024 * 1024;

export interface Files {
  /**
   * The whole file; null when there is none. Throws with code `EFBIG` when it has more than `bytesMax` bytes, and with
   * `ENOTREG` when it is neither a regular file nor a link to one: a device has no end.
   */
  read(path: string, bytesMax?: number): Promise<Uint8Array | null>;
  readText(path: string, bytesMax?: number): Promise<string | null>;
  /**
   * Up to `bytesMax` bytes from `offset`; fewer at the end. Null when there is no file. May put them into `room`, which
   * spares who reads much the system's work of clearing new memory.
   */
  readRange(path: string, offset: number, bytesMax: number, room?: Uint8Array): Promise<Uint8Array | null>;
  /** Temp file, fsync, rename, fsync of the folder; never follows a symlink at the target. Mode 0600 if not given. */
  writeAtomic(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  /** As writeAtomic without any fsync: whole for every reader, but a power cut may leave it old, empty or torn. */
  replace(path: string, data: string | Uint8Array, mode?: number): Promise<void>;
  /** As writeAtomic, but fails with EEXIST when the file is there. */
  writeNew(path: string, data: string | Uint8Array): Promise<void>;
  /** As writeNew, but only what it holds is synced: after a power cut it is whole or not there. `sync` makes it last. */
  placeNew(path: string, data: string | Uint8Array): Promise<void>;
  /** Makes files of one folder, and their being there, survive a power cut. */
  sync(paths: readonly string[]): Promise<void>;
  /** Replaces what has the new name. */
  rename(from: string, to: string): Promise<void>;
  /** Creates a folder and its parents, mode 0700. */
  makeFolder(path: string): Promise<void>;
  /** Names in a folder, sorted; empty when there is none. */
  list(path: string): Promise<string[]>;
  /** Of the path itself, not what a symlink points to. Null when there is nothing. */
  facts(path: string): Promise<FileFacts | null>;
  /** As `facts`, at once: microseconds, where a trip through the thread pool costs ten times as much. */
  factsNow(path: string): FileFacts | null;
  /**
   * Up to `bytesMax` bytes from `offset`, at once: for small files of ours, looked at often. Null when there is none.
   * Throws for a symlink (`ELOOP`) and for a pipe (`ESPIPE`).
   */
  readNow(path: string, offset: number, bytesMax: number): Uint8Array | null;
  /** Removes a file or a whole folder; quiet when there is none. Never follows a symlink. */
  remove(path: string): Promise<void>;
  /** With its times and mode. Fails with EEXIST when anything is at `to`. */
  copy(from: string, to: string): Promise<void>;
  /** O_APPEND | O_NOFOLLOW, mode 0600. Refuses what is not a regular file with one link. */
  openAppend(path: string): AppendHandle;
  /** As openAppend, for lines of several processes: a last line that lacks its line feed is ended first. */
  openLines(path: string): AppendHandle;
  /** True when this process may create files in the folder. */
  writable(folder: string): Promise<boolean>;
  /** How many bytes this user may still write to the path's disk. Throws when there is no such path. */
  freeBytes(path: string): Promise<number>;
  /** Resolves symlinks; the path itself when it does not exist. */
  realPath(path: string): Promise<string>;
  /** Tells of changes in a file or folder: a hint that may be missed, never a promise. */
  watch(path: string, changed: () => void): Disposable;
}

/** What identifies a process beyond its number. Empty text where the system does not tell. */
export interface ProcessIdentity {
  hostId: string;
  bootId: string;
  pidNs: string;
  pid: number;
  processStart: string;
}

/** `unknown` when it can't be proved either way: another host, another namespace, no answer. */
export type Liveness = "alive" | "dead" | "unknown";

export interface ProcessSight {
  liveness: Liveness;
  /** Alive, and held by a signal, its terminal or a debugger: it does nothing until it is let go on. */
  stopped: boolean;
}

export interface ChildExit {
  code: number | null;
  signal: string | null;
}

/** A started child with an IPC channel. */
export interface ChildProcess {
  readonly pid: number;
  /** False when the channel is gone. */
  send(message: unknown): boolean;
  onMessage(handler: (message: unknown) => void): void;
  /** Resolves once, also when the start failed (code null, signal null). */
  readonly exited: Promise<ChildExit>;
  /** Closes the channel and lets this process exit without waiting for the child. */
  detach(): void;
  /** Whether the child's handle keeps this process alive. */
  keepAlive(on: boolean): void;
}

export interface RunOptions {
  cwd: string;
  timeoutMs: number;
  env?: Readonly<Record<string, string | null>>;
  /** For its standard input. */
  input?: Uint8Array;
  encoding?: "utf8" | "latin1";
}

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** A program to be started without a shell, in a process group of its own. */
export interface CommandOrder {
  command: string;
  args: readonly string[];
  cwd: string;
  /** Set beside this process's own environment; null takes a variable away. */
  env: Readonly<Record<string, string | null>>;
  /** Written to its input, which is then closed; closed at once when empty. */
  stdin: string;
  /** Arguments are handed over as they are, for a shell of Windows with quotes of its own. */
  verbatim: boolean;
  onStdout(bytes: Uint8Array): void;
  onStderr(bytes: Uint8Array): void;
}

export interface Command {
  /** It leads its group. 0 when nothing was started. */
  readonly pid: number;
  /** Resolves once; `failure` is why it could not be started, else null. */
  readonly exited: Promise<ChildExit & { failure: unknown }>;
  /** Resolves when nobody can write to its outputs any more, and all of it was handed over. */
  readonly drained: Promise<void>;
  /** Stops reading its outputs. */
  release(): void;
}

export interface Processes {
  /** This process. */
  self(): ProcessIdentity;
  alive(identity: ProcessIdentity): Liveness;
  /** As `alive`, at the same cost. Where the system does not tell, none is `stopped`. */
  look(identity: ProcessIdentity): ProcessSight;
  /** Starts `node script args` in its own group, output to a file, channel open. Throws when spawning fails at once. */
  fork(options: {
    execPath: string;
    args: string[];
    cwd: string;
    env: Record<string, string>;
    outputFile: string;
  }): ChildProcess;
  /** Signals the process group led by `pid`; false when there is none. */
  killGroup(pid: number, signal: "SIGTERM" | "SIGKILL"): boolean;
  /** Pids whose environment holds one of these, name and value; empty where the system can't tell. */
  withEnvironment(variables: Readonly<Record<string, string>>): number[];
  kill(pid: number, signal: "SIGTERM" | "SIGKILL"): boolean;
  /** Starts a program and hands its outputs over as they come. Throws when the order itself can't be used. */
  start(order: CommandOrder): Command;
  /**
   * Runs a program to its end, without a shell. `env` is set beside this process's own, null takes a variable away;
   * `latin1` gives each byte of the output as one character, for what need not be UTF-8.
   */
  run(command: string, args: readonly string[], options: RunOptions): Promise<CommandResult>;
}

/** Our own log: a file, never the terminal. */
export interface Log {
  warn(message: string, fields?: Record<string, unknown>): void;
  error(message: string, fields?: Record<string, unknown>): void;
}

export interface World {
  clock: Clock;
  random: Random;
  files: Files;
  processes: Processes;
  log: Log;
}
