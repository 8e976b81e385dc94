import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { type AgentFolder, type AgentFolderOptions, makeAgentFolder, tagVariable } from "./agent-folder.ts";
import { type ModelServer, type ReplyFunction, startModelServer } from "./model-server.ts";
import { type PrintHostOptions, type PrintResult, startPrintHost } from "./print-host.ts";
import { killAll, processesVisible, processesWithEnvironment } from "./processes.ts";
import { RpcHost, type RpcHostOptions } from "./rpc-host.ts";
import { unsoundRuns } from "./run-files.ts";
import { TmuxHost, type TmuxHostOptions } from "./tmux-host.ts";

/** A model server, an agent folder and the hosts started in it; all of it ends with the test. */
export interface Rig {
  server: ModelServer;
  agentFolder: AgentFolder;
  rpc(options?: Omit<RpcHostOptions, "agentFolder">): Promise<RpcHost>;
  print(prompt: string, options?: Omit<PrintHostOptions, "agentFolder" | "prompt">): Promise<PrintResult>;
  tmux(options?: Omit<TmuxHostOptions, "agentFolder">): Promise<TmuxHost>;
}

/** To be called inside a test. Processes that carry the folder's tag and are left at its end are killed. */
export async function makeRig(reply: ReplyFunction, options: AgentFolderOptions = {}): Promise<Rig> {
  const server = await startModelServer({ reply });
  const agentFolder = await makeAgentFolder({ serverUrl: server.url, ...options });
  const hosts: (() => Promise<unknown>)[] = [];
  onTestFinished(async () => {
    const ended = await Promise.allSettled(hosts.map((end) => end()));
    if (processesVisible) killAll(processesWithEnvironment(tagVariable, agentFolder.tag));
    await server.close();
    const unsound = await unsoundRuns(agentFolder.project);
    await agentFolder.dispose();
    if (unsound.length > 0) throw new Error(unsound.join("\n"));
    for (const result of ended) if (result.status === "rejected") throw result.reason;
  });
  return {
    server,
    agentFolder,
    rpc: async (rest = {}) => {
      const rpc = await RpcHost.start({ agentFolder, ...rest });
      hosts.push(() => rpc.close());
      return rpc;
    },
    print: (prompt, rest = {}) => startPrintHost({ agentFolder, prompt, ...rest }).done,
    tmux: async (rest = {}) => {
      const tmux = await TmuxHost.start({ agentFolder, ...rest });
      hosts.push(() => tmux.close());
      return tmux;
    },
  };
}

const fixturesFolder = resolve(dirname(fileURLToPath(import.meta.url)), "../fixtures");

/** Path of a file in test/fixtures. */
export function fixture(name: string): string {
  return join(fixturesFolder, name);
}

/** One line of what the probe extension wrote. */
// biome-ignore lint/suspicious/noExplicitAny: fields depend on `k`
export type ProbeLine = { k: string; pid: number } & Record<string, any>;

/** Lines of the probe extension's log, those of one kind if named; none when it was never loaded. */
export async function probeLog(agentFolder: AgentFolder, kind?: string): Promise<ProbeLine[]> {
  const text = await readFile(join(agentFolder.home, "probe.jsonl"), "utf8").catch(() => "");
  const lines = text
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ProbeLine);
  return kind ? lines.filter((line) => line.k === kind) : lines;
}
