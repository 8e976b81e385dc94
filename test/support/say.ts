import type { RpcHost } from "./rpc-host.ts";

/** What a command said, as one text. */
export async function say(host: RpcHost, command: string): Promise<string> {
  return (await host.command(command)).notices.join("\n");
}

/** Runs a command that starts a run, and waits for that run's end. */
export async function sayToEnd(
  host: RpcHost,
  command: string,
): Promise<{ said: string; runId: string; ended: string }> {
  const from = host.events.length;
  const said = await say(host, command);
  const [, runId = `none: ${said}`] = /Run (\S+) goes on/.exec(said) ?? /: run (\S+), \d+ task/.exec(said) ?? [];
  const end = await host.waitFor(
    (event) => event.type === "message_end" && event["message"].details?.runId === runId,
    30_000,
    from,
  );
  return { said, runId, ended: String(end["message"].content) };
}
