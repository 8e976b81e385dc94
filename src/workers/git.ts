import type { CommandResult, Processes } from "../system/world.ts";

/** The git binary: arguments as they are, no shell, no hooks, nothing that asks, pages or edits. */

/** Would make git work on another repository than the folder's. */
export const ELSEWHERE: Readonly<Record<string, null>> = {
  GIT_DIR: null,
  GIT_WORK_TREE: null,
  GIT_INDEX_FILE: null,
  GIT_OBJECT_DIRECTORY: null,
  GIT_ALTERNATE_OBJECT_DIRECTORIES: null,
  GIT_COMMON_DIR: null,
  GIT_NAMESPACE: null,
  GIT_PREFIX: null,
};

const ENVIRONMENT: Readonly<Record<string, string | null>> = {
  ...ELSEWHERE,
  GIT_TERMINAL_PROMPT: "0",
  GIT_ASKPASS: "",
  SSH_ASKPASS: "",
  GIT_PAGER: "cat",
  GIT_EDITOR: ":",
  GIT_SEQUENCE_EDITOR: ":",
  GIT_OPTIONAL_LOCKS: "0",
  GIT_LITERAL_PATHSPECS: "1",
  LC_ALL: "C",
};

const SETTINGS = [
  "core.hooksPath=/dev/null",
  "core.fsmonitor=false",
  "core.quotePath=false",
  "commit.gpgSign=false",
  "gc.auto=0",
  "maintenance.auto=false",
  "submodule.recurse=false",
  "core.splitIndex=false",
].flatMap((setting) => ["-c", setting]);

interface GitOptions {
  /** One character for each byte. */
  input?: string;
}

export class GitFailed extends Error {
  override readonly name = "GitFailed";
}

/** git in one folder, each call within the same time limit in milliseconds. */
export class Git {
  readonly folder: string;
  readonly #processes: Pick<Processes, "run">;
  readonly #timeoutMs: number;
  readonly #env: Readonly<Record<string, string>>;

  constructor(
    processes: Pick<Processes, "run">,
    folder: string,
    timeoutMs: number,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.folder = folder;
    this.#processes = processes;
    this.#timeoutMs = timeoutMs;
    this.#env = env;
  }

  in(folder: string): Git {
    return new Git(this.#processes, folder, this.#timeoutMs, this.#env);
  }

  /** With more in its environment. */
  with(env: Readonly<Record<string, string>>, timeoutMs = this.#timeoutMs): Git {
    return new Git(this.#processes, this.folder, timeoutMs, { ...this.#env, ...env });
  }

  /** Never rejects: `code` is null when git is missing, was too slow or said too much. One character for each byte. */
  try(args: readonly string[], { input = "" }: GitOptions = {}): Promise<CommandResult> {
    return this.#processes.run("git", [...SETTINGS, ...args], {
      cwd: this.folder,
      timeoutMs: this.#timeoutMs,
      env: { ...ENVIRONMENT, ...this.#env },
      input: Buffer.from(input, "latin1"),
      encoding: "latin1",
    });
  }

  /** What it said, one character for each byte. Throws GitFailed with git's own words when it did not succeed. */
  async ask(args: readonly string[], options: GitOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.try(args, options);
    if (code === 0) return stdout;
    const words = readable(stderr).trim().slice(-500) || `exit code ${code ?? "unknown"}`;
    throw new GitFailed(`git ${args[0] ?? ""} failed in ${this.folder}: ${words}`);
  }

  /** One line, without its line feed. */
  async line(args: readonly string[], options: GitOptions = {}): Promise<string> {
    return readable(await this.ask(args, options)).replace(/\r?\n$/, "");
  }

  /** Paths, one character for each byte, of a call with `-z`. */
  async paths(args: readonly string[]): Promise<string[]> {
    return (await this.ask(args)).split("\0").filter((path) => path !== "");
  }
}

/** The bytes that git said, as text. */
export function readable(bytes: string): string {
  return Buffer.from(bytes, "latin1").toString("utf8");
}
