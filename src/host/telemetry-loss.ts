import { join } from "node:path";
import type { OtlpStatus } from "../export/otlp-exporter.ts";
import { messageOf } from "../system/errors.ts";
import { safeText } from "../system/safe-text.ts";
import type { World } from "../system/world.ts";
import { printError } from "./output.ts";
import type { Session } from "./session.ts";

/** Sessions whose loss waits to be told; of further ones only the log tells. */
const KEPT_MAX = 100;
const LOSS_BYTES_MAX = 16 * 1024;

interface Place {
  readonly world: Pick<World, "clock" | "files" | "log">;
  readonly agentDir: string;
}

/**
 * Tells what a session could not send: in the log, on standard error when the user quits (else the host's screen is still
 * there), and to a later session, for which it is kept in the agent folder. `id`: of this session in this process.
 * Never rejects.
 */
export async function tellLoss(
  { world, agentDir, isQuitting }: Place & Pick<Session, "isQuitting">,
  id: string,
  channels: OtlpStatus["channels"],
): Promise<void> {
  const { clock, files, log } = world;
  const lost = channels.filter(({ itemsLost }) => itemsLost > 0);
  if (lost.length === 0) return;
  for (const { signal, host, itemsLost, lastError } of lost)
    log.warn("telemetry was lost", { signal, host, itemsLost, lastError });
  const text = sentence(lost, new Date(clock.now()).toISOString());
  const folder = folderOf(agentDir);
  try {
    await files.makeFolder(folder);
    const kept = await files.list(folder);
    if (kept.length < KEPT_MAX) await files.writeNew(join(folder, `${id.replace(/[^\w-]/g, "_")}.txt`), `${text}\n`);
  } catch (error) {
    log.error("a loss of telemetry could not be kept", { error: messageOf(error) });
  }
  if (isQuitting) await printError(text);
}

/**
 * Shows what earlier sessions lost, where the user has a screen; then it is forgotten. A sentence for each session.
 * Never rejects.
 */
export async function tellEarlierLosses(session: Place & Pick<Session, "context" | "show">): Promise<string[]> {
  const { files, log } = session.world;
  const folder = folderOf(session.agentDir);
  const isSeen = session.context?.hasUI === true;
  const texts: string[] = [];
  try {
    for (const name of await files.list(folder)) {
      const path = join(folder, name);
      const text = safeText(((await files.readText(path, LOSS_BYTES_MAX)) ?? "").trim(), { multiline: false });
      if (text !== "") texts.push(text);
      if (isSeen) await files.remove(path);
    }
  } catch (error) {
    log.warn("earlier losses of telemetry can't be read", { folder, error: messageOf(error) });
  }
  if (isSeen && texts.length > 0) session.show(texts.join("\n"), "warning");
  return texts;
}

function folderOf(agentDir: string): string {
  return join(agentDir, "crew", "telemetry-lost");
}

/** Both signals together when they go to one place. */
function sentence(lost: OtlpStatus["channels"], endedAt: string): string {
  const byHost = new Map<string, { items: string[]; reason: string }>();
  for (const { signal, host, itemsLost, lastError } of lost) {
    const found = byHost.get(host) ?? { items: [], reason: "" };
    const what = signal === "traces" ? "span" : "metric point";
    const reason = lastError ?? found.reason;
    byHost.set(host, { items: [...found.items, `${itemsLost} ${what}${itemsLost === 1 ? "" : "s"}`], reason });
  }
  const parts = [...byHost].map(
    ([host, { items, reason }]) =>
      `${items.join(" and ")} could not be sent to ${host}${reason === "" ? "" : ` (${reason})`}`,
  );
  return `OTLP: of the session that ended ${endedAt}, ${parts.join("; ")}.`;
}
