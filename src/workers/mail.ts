import type { TaskMessage } from "../runs/run-state.ts";
import { parseObject } from "../system/json.ts";
import type { Files } from "../system/world.ts";
import { attemptPaths, makeAttemptFolder } from "./attempt-folder.ts";

/**
 * `mail.jsonl` of an attempt: what its worker is told while it works. Only the run's owner writes there, only at the
 * end, one line a message; a later owner repeats what its forerunner may not have written.
 */

export type Letter = Pick<TaskMessage, "messageId" | "from" | "text">;

/** More than an owner ever writes. */
const MAIL_BYTES_MAX = 4 * 1024 * 1024;
const LINE_CHARS_MAX = 64 * 1024;

/** Adds those that are not there yet, in their order. Rejects when the file can't be written. */
export async function putMail(files: Files, folder: string, letters: readonly Letter[]): Promise<void> {
  if (letters.length === 0) return;
  await makeAttemptFolder(files, folder);
  const path = attemptPaths(folder).mail;
  const text = await textOf(files, path);
  const there = new Set(lettersIn(text).map(({ messageId }) => messageId));
  const missing = letters.filter(({ messageId }) => !there.has(messageId));
  if (missing.length === 0) return;
  const handle = files.openAppend(path);
  try {
    // the first line feed ends what a dying owner left half written
    let lead = text === "" || text.endsWith("\n") ? "" : "\n";
    for (const { messageId, from, text } of missing) {
      handle.write(`${lead}${JSON.stringify({ messageId, from, text })}\n`);
      lead = "";
    }
  } finally {
    handle.close();
  }
}

/** The worker's end: gives each letter once, in order, to one caller at a time. */
export class MailReader {
  readonly #files: Files;
  readonly #path: string;
  readonly #taken = new Set<string>();
  #bytes = 0;

  constructor(files: Files, folder: string) {
    this.#files = files;
    this.#path = attemptPaths(folder).mail;
  }

  /** What has come since the last call. Rejects when the file can't be read; nothing is lost then. */
  async takeNew(): Promise<Letter[]> {
    const facts = await this.#files.facts(this.#path);
    if (facts?.kind !== "file" || facts.bytes === this.#bytes) return [];
    const fresh = lettersIn(await textOf(this.#files, this.#path)).filter(({ messageId }) => {
      const isNew = !this.#taken.has(messageId);
      this.#taken.add(messageId);
      return isNew;
    });
    this.#bytes = facts.bytes;
    return fresh;
  }
}

async function textOf(files: Files, path: string): Promise<string> {
  return Buffer.from((await files.readRange(path, 0, MAIL_BYTES_MAX)) ?? []).toString("utf8");
}

/** Of whole lines; what is no letter is left out. */
function lettersIn(text: string): Letter[] {
  return text
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => parseLetter(line) ?? []);
}

function parseLetter(line: string): Letter | null {
  if (line.length > LINE_CHARS_MAX) return null;
  const { messageId, from, text } = parseObject(line) ?? {};
  if (typeof messageId !== "string" || typeof from !== "string" || typeof text !== "string") return null;
  return { messageId, from, text };
}
