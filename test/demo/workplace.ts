import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { delimiter, dirname, join, resolve } from "node:path";
import { type AgentFolder, makeAgentFolder, tagVariable } from "../support/agent-folder.ts";
import { expectGone, killAll, processesVisible, processesWithEnvironment } from "../support/processes.ts";
import { readTestRun, type TestRun } from "./conversation.ts";

const packageFolder = resolve(import.meta.dirname, "../..");
const sampleFolder = join(import.meta.dirname, "sample");
const commandMs = 20_000;

export interface WorkplaceOptions {
  withoutFix: boolean;
  /** Of the scripted model, milliseconds a piece; 0 for as fast as it can. */
  paceMs: number;
}

/** A copy of the sample and an agent folder in which this package and the scripted provider are all there is. */
export class Workplace {
  readonly folder: AgentFolder;
  readonly git: boolean;

  private constructor(folder: AgentFolder, git: boolean) {
    this.folder = folder;
    this.git = git;
  }

  static async make({ withoutFix, paceMs }: WorkplaceOptions): Promise<Workplace> {
    const git = (await execute("git", ["--version"], { cwd: sampleFolder })).code === 0;
    const folder = await makeAgentFolder({
      git,
      files: await readSample(),
      settings: {
        packages: [packageFolder],
        extensions: [join(import.meta.dirname, "scripted-provider.ts")],
        defaultProvider: "scripted",
        defaultModel: "scripted-model",
      },
      env: {
        // workers' shells must find the Node that runs this
        PATH: [dirname(process.execPath), process.env["PATH"] ?? ""].join(delimiter),
        FOREMAN_DEMO_PACE_MS: String(paceMs),
        FOREMAN_DEMO_WITHOUT_FIX: withoutFix ? "1" : "0",
      },
    });
    return new Workplace(folder, git);
  }

  get root(): string {
    return dirname(this.folder.project);
  }

  async test(): Promise<TestRun> {
    const { code, stdout } = await this.#run(process.execPath, "--test");
    return readTestRun(stdout, code === 0);
  }

  /** How the newest run ended by its own log: `completed failed cancelled`; null when there is none, or no end yet. */
  async runStatus(): Promise<string | null> {
    const runs = join(this.folder.project, ".crew/state/runs");
    const newest = (await readdir(runs).catch(() => [])).sort().at(-1);
    if (newest === undefined) return null;
    const log = await readFile(join(runs, newest, "events.jsonl"), "utf8");
    return /"type":"crew\.run\.(completed|failed|cancelled)"/.exec(log)?.[1] ?? null;
  }

  /** Of the tracked files. */
  async diff(): Promise<string> {
    if (!this.git) return "(there is no git here to show the difference)";
    return (await this.#run("git", "diff")).stdout.trimEnd() || "(no difference)";
  }

  /** Throws with what host and workers left running; it is killed then. Linux only: elsewhere nothing is checked. */
  async expectNoProcess(): Promise<void> {
    if (!processesVisible) return;
    const list = () => processesWithEnvironment(tagVariable, this.folder.tag);
    try {
      await expectGone(list);
    } catch (error) {
      killAll(list());
      throw error;
    }
  }

  #run(program: string, ...args: string[]) {
    return execute(program, args, { cwd: this.folder.project, env: this.folder.env });
  }
}

async function readSample(): Promise<Record<string, string>> {
  const names = await readdir(sampleFolder, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8")));
  return Object.fromEntries(files.map((file, at) => [file.slice(sampleFolder.length + 1), texts[at] ?? ""]));
}

/** Code null: the program is not there, or did not end in time. */
function execute(
  program: string,
  args: string[],
  options: { cwd: string; env?: Record<string, string> },
): Promise<{ code: number | null; stdout: string }> {
  return new Promise((done) => {
    const child = execFile(program, args, { ...options, timeout: commandMs }, (_error, stdout) =>
      done({ code: child.exitCode, stdout }),
    );
  });
}
