import { createHash } from "node:crypto";
import { join } from "node:path";
import type { Origin } from "../runs/definitions.ts";
import type { RunManifest } from "../runs/manifest.ts";
import { UserError } from "../system/errors.ts";
import { parseObject } from "../system/json.ts";
import { safeText } from "../system/safe-text.ts";
import type { World } from "../system/world.ts";
import type { Session } from "./session.ts";

/**
 * What a project's own definitions may run on this machine: only what the user agreed to, kept in
 * `<agentDir>/crew/agreed.json` by the project's path and a hash of the workflow file and the command.
 */

const [DECLINE, AGREE] = ["No", "Yes, run them"] as const;
const KEYS_MAX = 1000;
const SHOWN_CHARS_MAX = 500;

type Place = { world: Pick<World, "files">; agentDir: string; cwd: string };

interface Order {
  /** What is shown of it. */
  words: string;
  key: string;
}

/** Throws a UserError when the run would run what nobody agreed to. */
export async function requireAgreed(place: Place, manifest: RunManifest): Promise<void> {
  const missing = await notAgreed(place, manifest);
  if (missing.length > 0) throw refusal(manifest, missing, "");
}

/**
 * Asks the user once about the commands of a run that is to be started; those of the package's and the user's own
 * definitions are agreed to. Throws a UserError when the user does not agree, or there is none to ask.
 */
export async function agreeToCommands(
  session: Place & Pick<Session, "context" | "defer" | "dialogs">,
  manifest: RunManifest,
  origin: Origin,
): Promise<void> {
  const missing = await notAgreed(session, manifest);
  if (missing.length === 0) return;
  if (origin === "project") {
    const { context } = session;
    if (!context?.hasUI) throw refusal(manifest, missing, " There is nobody to ask here.");
    const closing = new AbortController();
    session.defer(() => closing.abort());
    const title = `Run these commands of this project's workflow ${manifest.workflow}?`;
    const text = `${missing.map(({ words }) => words).join("\n")}\nThey run with your rights. You are asked again when the workflow's file changes.`;
    const { signal } = closing;
    const yes = await session.dialogs.during(async () =>
      session.dialogs.inTerminal
        ? // an Enter that was meant for something else is no consent
          (await context.ui.select(`${title}\n${text}`, [DECLINE, AGREE], { signal })) === AGREE
        : await context.ui.confirm(title, text, { signal }),
    );
    if (!yes) throw new UserError("not-agreed", "Nothing was started: you did not agree to the workflow's commands.");
  }
  await remember(session, missing);
}

function refusal({ workflow }: RunManifest, missing: readonly Order[], why: string): UserError {
  return new UserError(
    "not-agreed",
    `Workflow ${workflow} of this project runs commands that you have not agreed to: ${missing.map(({ words }) => words).join("; ")}.${why} ` +
      "Start it once with /team-run in an interactive session, which asks you.",
  );
}

function ordersOf({ tasks, definitionHashes, workflow }: RunManifest): Order[] {
  const file = definitionHashes[`workflow:${workflow}`] ?? "";
  return tasks.flatMap(({ taskId, kind, command, task, verify }) => {
    const order = kind === "codex" ? task : command;
    const said = [kind === "pi" ? "" : `${kind} ${order}`.trim(), verify === "" ? "" : `verify: ${verify}`];
    if (said.every((words) => words === "")) return [];
    const key = createHash("sha256")
      .update(JSON.stringify([file, kind, order, verify]))
      .digest("hex");
    const words = safeText(`${taskId}: ${said.filter(Boolean).join(", ")}`, { multiline: false });
    const hidden = words.length - SHOWN_CHARS_MAX;
    return [{ key, words: hidden > 0 ? `${words.slice(0, SHOWN_CHARS_MAX)}… (${hidden} more characters)` : words }];
  });
}

async function notAgreed(place: Place, manifest: RunManifest): Promise<Order[]> {
  const orders = ordersOf(manifest);
  if (orders.length === 0) return [];
  const { keys } = await read(place);
  return orders.filter(({ key }) => !keys.includes(key));
}

async function remember(place: Place, agreed: readonly Order[]): Promise<void> {
  const { all, project, keys } = await read(place);
  const kept = [...new Set([...keys, ...agreed.map(({ key }) => key)])].slice(-KEYS_MAX);
  await place.world.files.makeFolder(join(place.agentDir, "crew"));
  await place.world.files.writeAtomic(fileOf(place), `${JSON.stringify({ ...all, [project]: kept }, null, 2)}\n`);
}

/** A file that can't be understood holds no agreement. */
async function read(place: Place): Promise<{ all: Record<string, unknown>; project: string; keys: string[] }> {
  const { files } = place.world;
  const all = parseObject(await files.readText(fileOf(place))) ?? {};
  const project = await files.realPath(place.cwd);
  const kept = Object.hasOwn(all, project) ? all[project] : [];
  return { all, project, keys: Array.isArray(kept) ? kept.filter((key) => typeof key === "string") : [] };
}

function fileOf({ agentDir }: Place): string {
  return join(agentDir, "crew", "agreed.json");
}
