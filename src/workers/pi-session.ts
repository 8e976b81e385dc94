import type { TaskAgent } from "../runs/manifest.ts";
import { messageOf, UserError } from "../system/errors.ts";
import type { Clock } from "../system/world.ts";
import { chooseModel, type HostModel } from "./pi-models.ts";

/**
 * The host's SDK as far as a worker uses it: one shape for both generations of the host, found by what is there and
 * never by a version. Nothing of the host is imported here; `start.mjs` hands the module over.
 */

interface HostEvent {
  readonly type: string;
}

export interface HostSession {
  bindExtensions(bindings: {
    mode: "json";
    onError(error: { extensionPath: string; error: string }): void;
  }): Promise<void>;
  subscribe(listener: (event: HostEvent & Record<string, unknown>) => void): () => void;
  prompt(text: string, options: { expandPromptTemplates: boolean }): Promise<void>;
  /** Queues a text for the model's next request. */
  steer(text: string): Promise<void>;
  readonly agent: { hasQueuedMessages(): boolean };
  /** Empties the queue. One host takes a text out of `steering` a moment after a request took it: ask the agent first. */
  clearQueue(): { steering: string[] };
  abort(): Promise<void>;
  dispose(): void;
  getActiveToolNames(): string[];
  setActiveToolsByName(names: string[]): void;
  readonly sessionManager: { getHeader(): unknown };
  readonly extensionRunner: {
    hasHandlers(name: string): boolean;
    emit(event: HostEvent & { reason: string }): unknown;
  };
}

interface HostServices {
  readonly modelRegistry?: { getAvailable(): HostModel[] };
  readonly modelRuntime?: { getAvailable(): Promise<readonly HostModel[]> };
  readonly resourceLoader: {
    getExtensions(): { errors: readonly { path: string; error: string }[] };
    getSkills(): { skills: readonly { name: string }[] };
  };
  readonly diagnostics: readonly { type: string; message: string }[];
}

interface ExtensionApi {
  on(name: string, handler: (event: Record<string, unknown>) => unknown): unknown;
}

interface HostSdk {
  createAgentSessionServices(options: {
    cwd: string;
    agentDir: string;
    settingsManager: unknown;
    resourceLoaderOptions: {
      additionalExtensionPaths: readonly string[];
      noExtensions: boolean;
      extensionFactories: readonly ((api: ExtensionApi) => void)[];
    };
  }): Promise<HostServices>;
  createAgentSessionFromServices(options: {
    services: HostServices;
    sessionManager: unknown;
    model?: HostModel;
    thinkingLevel?: string;
    tools?: readonly string[];
  }): Promise<{ session: HostSession }>;
  SessionManager: { inMemory(cwd: string): unknown };
  SettingsManager: {
    create(
      cwd: string,
      agentDir: string,
      options?: { projectTrusted: boolean },
    ): { getDefaultProjectTrust?(): string | undefined };
  };
  ProjectTrustStore?: new (agentDir: string) => { get(cwd: string): boolean | null };
  hasTrustRequiringProjectResources?(cwd: string): boolean;
}

/** What the session's own extension, made before the attempt is known, adds. */
interface InlineState {
  prompt: string;
  /** No tool runs before: a model is asked while it is still being remembered what the work folder was. */
  ready(): Promise<void>;
}

/** All that a session needs but its agent: made ahead, used once. */
export interface PreparedServices {
  readonly cwd: string;
  readonly sdk: HostSdk;
  readonly services: HostServices;
  readonly inline: InlineState;
  /** Sentences about what did not load. */
  readonly warnings: readonly string[];
}

/** For the user's extensions to put their things in order. */
const closeMs = 2000;

export interface OpenSession {
  readonly session: HostSession;
  /** False when something of the session may go on within this process. Never rejects. */
  close(): Promise<boolean>;
}

export function requireSdk(module: unknown): HostSdk {
  const sdk = module as Partial<Record<keyof HostSdk, unknown>>;
  for (const name of ["createAgentSessionServices", "createAgentSessionFromServices"] as const)
    if (typeof sdk[name] !== "function")
      throw new UserError("host-sdk", `The host's SDK has no ${name}; this host is not supported.`);
  return module as HostSdk;
}

export async function prepareServices(
  sdk: HostSdk,
  place: { cwd: string; agentDir: string; extensionPaths: readonly string[]; noExtensions: boolean },
): Promise<PreparedServices> {
  const inline: InlineState = { prompt: "", ready: () => Promise.resolve() };
  const services = await sdk.createAgentSessionServices({
    cwd: place.cwd,
    agentDir: place.agentDir,
    settingsManager: settingsOf(sdk, place),
    resourceLoaderOptions: {
      additionalExtensionPaths: place.extensionPaths,
      noExtensions: place.noExtensions,
      extensionFactories: [(api) => extendSession(api, inline)],
    },
  });
  const failures = services.resourceLoader.getExtensions().errors;
  const warnings = [
    ...failures.map(({ path, error }) => `Extension ${path} did not load: ${error}`),
    ...services.diagnostics.filter(({ type }) => type !== "info").map(({ message }) => message),
  ];
  return { cwd: place.cwd, sdk, services, inline, warnings };
}

/** Where the host knows of project trust, its SDK trusts every project: a worker must not be the way around. */
function settingsOf(sdk: HostSdk, { cwd, agentDir }: { cwd: string; agentDir: string }): unknown {
  const settings = sdk.SettingsManager.create(cwd, agentDir, { projectTrusted: false });
  if (!sdk.ProjectTrustStore || !sdk.hasTrustRequiringProjectResources) return settings;
  const decision = new sdk.ProjectTrustStore(agentDir).get(cwd);
  const byDefault = settings.getDefaultProjectTrust?.() === "always";
  const trusted = !sdk.hasTrustRequiringProjectResources(cwd) || (decision ?? byDefault);
  return trusted ? sdk.SettingsManager.create(cwd, agentDir, { projectTrusted: true }) : settings;
}

function extendSession(api: ExtensionApi, inline: InlineState): void {
  api.on("before_agent_start", (event) => {
    if (!inline.prompt) return undefined;
    const base = typeof event["systemPrompt"] === "string" ? event["systemPrompt"] : "";
    return { systemPrompt: `${base}\n\n${inline.prompt}` };
  });
  api.on("tool_call", () => inline.ready());
}

/**
 * A session of the agent, not asked anything yet, whose tools wait for `ready`. Throws a UserError when the agent can't
 * have what it wants; what was opened until then is closed, and `close` awaited.
 */
export async function openSession(
  prepared: PreparedServices,
  agent: TaskAgent,
  ready: () => Promise<void>,
  onWarning: (text: string) => void,
  clock: Clock,
): Promise<OpenSession> {
  const { sdk, services, inline, cwd } = prepared;
  for (const warning of prepared.warnings) onWarning(warning);
  const choice = chooseModel(agent.models, await availableModels(services));
  if (choice.kind === "none")
    throw new UserError("model", `${choice.message} Change \`model\` of the agent, or log in to its provider in Pi.`);
  inline.prompt = agent.prompt;
  inline.ready = ready;
  limitSkills(services, agent.skills);
  const chosen = choice.kind === "model" ? choice : null;
  const thinking = chosen?.thinking ?? agent.thinking;
  const tools = agent.tools?.filter((name) => !agent.disallowedTools.includes(name)) ?? null;
  const { session } = await sdk.createAgentSessionFromServices({
    services,
    sessionManager: sdk.SessionManager.inMemory(cwd),
    ...(chosen ? { model: chosen.model } : {}),
    ...(thinking ? { thinkingLevel: thinking } : {}),
    ...(tools ? { tools } : {}),
  });
  const close = () => closeSession(session, onWarning, clock);
  try {
    await session.bindExtensions({
      mode: "json",
      onError: ({ extensionPath, error }) => onWarning(`Extension error (${extensionPath}): ${error}`),
    });
    const { disallowedTools } = agent;
    if (disallowedTools.length > 0)
      session.setActiveToolsByName(session.getActiveToolNames().filter((name) => !disallowedTools.includes(name)));
  } catch (error) {
    await close();
    throw error;
  }
  return { session, close };
}

/** `dispose` alone tells the user's extensions nothing; they may hold timers and sockets. */
async function closeSession(session: HostSession, onWarning: (text: string) => void, clock: Clock): Promise<boolean> {
  const clean = (await told(session, onWarning, clock)) === "told";
  try {
    session.dispose();
    return clean;
  } catch (error) {
    onWarning(`The session could not be disposed of: ${messageOf(error)}`);
    return false;
  }
}

async function told(session: HostSession, onWarning: (text: string) => void, clock: Clock): Promise<"told" | "hung"> {
  const event = { type: "session_shutdown", reason: "quit" };
  const tell = async (): Promise<"told"> => {
    try {
      if (session.extensionRunner.hasHandlers(event.type)) await session.extensionRunner.emit(event);
    } catch (error) {
      onWarning(`The session did not close cleanly: ${messageOf(error)}`);
    }
    return "told";
  };
  const over = new AbortController();
  const hung = clock.sleep(closeMs, over.signal).then(() => "hung" as const);
  const end = await Promise.race([tell(), hung]);
  over.abort();
  if (end === "hung") onWarning(`An extension did not answer session_shutdown within ${closeMs} ms.`);
  return end;
}

async function availableModels(services: HostServices): Promise<readonly HostModel[]> {
  if (services.modelRuntime) return await services.modelRuntime.getAvailable();
  return services.modelRegistry?.getAvailable() ?? [];
}

/** The host has no such option after its services are made, but asks its loader each time. */
function limitSkills(services: HostServices, allowed: readonly string[] | null): void {
  if (!allowed) return;
  const loader = services.resourceLoader;
  const all = loader.getSkills.bind(loader);
  loader.getSkills = () => {
    const found = all();
    return { ...found, skills: found.skills.filter(({ name }) => allowed.includes(name)) };
  };
}
