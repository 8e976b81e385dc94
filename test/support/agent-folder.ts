import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdir, mkdtemp, readFile, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { modelPrices } from "./model-reply.ts";

const run = promisify(execFile);
const shortLived = fileURLToPath(new URL("../fixtures/short-lived.cjs", import.meta.url));

/** Every process started with a folder's `env` carries this variable, and what it starts does too. */
export const tagVariable = "FOREMAN_TEST_TAG";

export interface AgentFolderOptions {
  /** `server.url`; without it no model is configured. */
  serverUrl?: string;
  /** Makes the project a git repository with one commit. */
  git?: boolean;
  /** Files of the project, path → text, written before the commit. */
  files?: Record<string, string>;
  /** Merged over the defaults of settings.json. */
  settings?: Record<string, unknown>;
  /** The host's own retry of a model request; off unless given. */
  retry?: { enabled: boolean; maxRetries?: number; baseDelayMs?: number; provider?: Record<string, number> };
  /** Added to the environment. */
  env?: Record<string, string>;
}

export interface AgentFolder extends AsyncDisposable {
  /** PI_CODING_AGENT_DIR. */
  readonly agent: string;
  /** The working folder of the host. */
  readonly project: string;
  /** HOME: empty but for a .gitconfig. */
  readonly home: string;
  /** The whole environment of a host child: nothing of the developer's own agent folder, keys or proxies. */
  readonly env: Record<string, string>;
  /** Value of FOREMAN_TEST_TAG in `env`; unique. */
  readonly tag: string;
  /** Changes top-level keys of settings.json. */
  changeSettings(settings: Record<string, unknown>): Promise<void>;
  /** Writes a file into the project, folders included. Returns its path. */
  write(path: string, text: string): Promise<string>;
  /** Removes everything. */
  dispose(): Promise<void>;
}

/** A temporary agent folder whose provider `mock` (models mock-1, mock-2) is the model server, and a project. */
export async function makeAgentFolder(options: AgentFolderOptions = {}): Promise<AgentFolder> {
  const root = await realpath(await mkdtemp(join(tmpdir(), "foreman-")));
  const [agent, project, home] = [join(root, "agent"), join(root, "project"), join(root, "home")];
  await Promise.all([agent, project, home].map((folder) => mkdir(folder)));
  const tag = randomUUID();
  const settingsFile = join(agent, "settings.json");
  const write = async (path: string, text: string) => {
    const whole = join(project, path);
    await mkdir(dirname(whole), { recursive: true });
    await writeFile(whole, text);
    return whole;
  };
  const dispose = () => rm(root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  const env = { ...cleanEnvironment(agent, home), [tagVariable]: tag, ...options.env };

  await writeFile(settingsFile, JSON.stringify({ ...defaultSettings(options), ...options.settings }, null, 2));
  await writeFile(join(agent, "models.json"), JSON.stringify(modelsFile(options.serverUrl), null, 2));
  await writeFile(
    join(home, ".gitconfig"),
    "[user]\n  name = Test\n  email = test@localhost\n[init]\n  defaultBranch = main\n[commit]\n  gpgsign = false\n",
  );
  for (const [path, text] of Object.entries(options.files ?? {})) await write(path, text);
  if (options.git) await commitAll(project, env);
  return {
    agent,
    project,
    home,
    env,
    tag,
    changeSettings: async (settings) => {
      const old = JSON.parse(await readFile(settingsFile, "utf8")) as Record<string, unknown>;
      await writeFile(settingsFile, JSON.stringify({ ...old, ...settings }, null, 2));
    },
    write,
    dispose,
    [Symbol.asyncDispose]: dispose,
  };
}

function cleanEnvironment(agent: string, home: string): Record<string, string> {
  return {
    PATH: process.env["PATH"] ?? "/usr/bin:/bin",
    LANG: "C.UTF-8",
    TERM: "dumb",
    TMPDIR: tmpdir(),
    HOME: home,
    PI_CODING_AGENT_DIR: agent,
    PI_OFFLINE: "1",
    PI_SKIP_VERSION_CHECK: "1",
    PI_TELEMETRY: "0",
    NO_PROXY: "127.0.0.1,localhost",
    // what is measured runs as it does for users
    ...(process.env["VITEST"] ? { NODE_OPTIONS: `--require=${shortLived}` } : {}),
  };
}

function defaultSettings({ serverUrl, retry }: AgentFolderOptions): Record<string, unknown> {
  return {
    ...(serverUrl ? { defaultProvider: "mock", defaultModel: "mock-1" } : {}),
    defaultThinkingLevel: "off",
    quietStartup: true,
    enableInstallTelemetry: false,
    // The provider client has tries of its own (2 unless told) below the host's.
    retry: retry ?? { enabled: false, provider: { maxRetries: 0 } },
  };
}

function modelsFile(serverUrl: string | undefined): Record<string, unknown> {
  if (!serverUrl) return { providers: {} };
  const models = Object.entries(modelPrices).map(([id, cost]) => ({
    id,
    name: id,
    input: ["text"],
    contextWindow: 128_000,
    maxTokens: 8192,
    cost,
  }));
  const compat = { supportsDeveloperRole: false, supportsReasoningEffort: false, supportsStore: false };
  return {
    providers: { mock: { baseUrl: serverUrl, api: "openai-completions", apiKey: "not-a-key", compat, models } },
  };
}

async function commitAll(project: string, env: Record<string, string>): Promise<void> {
  const git = (...args: string[]) => run("git", args, { cwd: project, env });
  await git("init", "--quiet");
  await git("add", "--all");
  await git("commit", "--quiet", "--allow-empty", "--message", "Start");
}
