import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { CrewEvent } from "../../src/events/crew-event.ts";
import type { AgentFolderOptions } from "./agent-folder.ts";
import { diamondFiles, inTurnFiles, stepOf } from "./diamond-team.ts";
import type { ModelRequest, Reply } from "./model-reply.ts";
import { waitUntil } from "./processes.ts";
import { makeRig, type Rig } from "./rig.ts";
import type { RpcHost, RpcHostOptions } from "./rpc-host.ts";
import { eventsOf, runIds } from "./run-files.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

export interface GatedOptions extends AgentFolderOptions {
  /** Steps whose workers wait for the model's answer until their gate is opened. */
  gated: readonly string[];
  /** The agent folder's crew.json. */
  config?: object;
  /** What the model says, once it may; "<step> is done" unless given. */
  reply?: (request: ModelRequest) => Reply | Promise<Reply>;
}

export interface GatedRig {
  rig: Rig;
  gated: readonly string[];
  /** Lets these steps go on, all unless named. */
  open(...steps: string[]): void;
  /** How often the model was asked for a step. */
  asked(step: string): number;
}

export interface GatedRun extends GatedRig {
  host: RpcHost;
  /** What the command that began it said. */
  said: string;
  runId: string;
  events(): Promise<CrewEvent[]>;
}

/** A project with the diamond team whose model keeps some steps waiting. */
export async function gatedRig({ gated, config, reply, ...options }: GatedOptions): Promise<GatedRig> {
  const gates = new Map(gated.map((step) => [step, gate()]));
  const says = reply ?? ((request: ModelRequest) => ({ text: `${stepOf(request) ?? "nothing"} is done` }));
  const rig = await makeRig(
    async (request) => {
      await gates.get(stepOf(request) ?? "")?.opened;
      return says(request);
    },
    { files: gated.length > 1 ? diamondFiles : inTurnFiles, ...options },
  );
  if (config) await writeFile(join(rig.agentFolder.agent, "crew.json"), JSON.stringify(config));
  return {
    rig,
    gated,
    open: (...steps) => {
      for (const [step, { open }] of gates) if (steps.length === 0 || steps.includes(step)) open();
    },
    asked: (step) => rig.server.requests.filter(({ request }) => stepOf(request) === step).length,
  };
}

/** Starts a run in this host, a new one unless given, and waits until all its gated steps are at work. */
export async function gatedRun(
  gatedRig: GatedRig,
  {
    command = '/team-run diamond "go on"',
    host: given,
    ...options
  }: Partial<Omit<RpcHostOptions, "agentFolder" | "host">> & { command?: string; host?: RpcHost } = {},
): Promise<GatedRun> {
  const { rig, gated, asked } = gatedRig;
  const { project } = rig.agentFolder;
  const host = given ?? (await rig.rpc({ extensions: [PACKAGE], ...options }));
  const said = (await host.command(command, 60_000)).notices.join("\n");
  await waitUntil(() => gated.every((step) => asked(step) === 1), 60_000);
  const runId = (await runIds(project)).at(-1) ?? "";
  return { ...gatedRig, host, said, runId, events: () => eventsOf(project, runId) };
}

function gate(): { opened: Promise<void>; open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((done) => {
    open = done;
  });
  return { opened, open };
}
