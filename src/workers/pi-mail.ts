import { messageOf } from "../system/errors.ts";
import type { Clock, Files } from "../system/world.ts";
import { type Letter, MailReader } from "./mail.ts";
import type { HostSession } from "./pi-session.ts";

/** Between two looks; a hint of the system comes sooner where there is one. */
const pollMs = 250;

type MailSession = Pick<HostSession, "steer" | "clearQueue" | "agent">;

/** Hands an attempt's mail to its session, each letter once, in order. */
export class PiMail {
  readonly #world: { clock: Clock; files: Files };
  readonly #folder: string;
  readonly #session: MailSession;
  readonly #note: (text: string) => void;
  readonly #reader: MailReader;
  readonly #faults = new Set<string>();
  /** One look after another. */
  #turn: Promise<unknown> = Promise.resolve();
  #waiting = false;
  #steered = false;
  /** By the host, at that moment. */
  readonly #refused: Letter[] = [];

  constructor(
    world: { clock: Clock; files: Files },
    folder: string,
    session: MailSession,
    note: (text: string) => void,
  ) {
    this.#world = world;
    this.#folder = folder;
    this.#session = session;
    this.#note = note;
    this.#reader = new MailReader(world.files, folder);
  }

  /** The prompt, with what was there before it was asked. */
  opening(prompt: string): Promise<string> {
    return this.#inTurn(async () => [prompt, ...(await this.#takeNew()).map(wordsOf)].join("\n\n"));
  }

  /** Until it is disposed of, what comes is read by the model before its next reply. */
  follow(): Disposable {
    const look = () => this.#look();
    const sources = [this.#world.clock.every(pollMs, look), this.#world.files.watch(this.#folder, look)];
    return {
      [Symbol.dispose]: () => {
        for (const source of sources) source[Symbol.dispose]();
      },
    };
  }

  /** What came when the model had ended its last turn; empty when there is nothing. */
  rest(): Promise<string> {
    return this.#inTurn(async () => {
      const late = [...this.#refused.splice(0), ...(await this.#takeNew())].map(wordsOf);
      const isLeft = this.#steered && this.#session.agent.hasQueuedMessages();
      const queued = isLeft ? this.#session.clearQueue().steering : [];
      return [...queued, ...late].join("\n\n");
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => undefined);
    return done;
  }

  #look(): void {
    if (this.#waiting) return;
    this.#waiting = true;
    void this.#inTurn(() => this.#steer());
  }

  async #steer(): Promise<void> {
    this.#waiting = false;
    for (const letter of await this.#takeNew()) {
      this.#steered = true;
      try {
        await this.#session.steer(wordsOf(letter));
        this.#note(`[message ${letter.messageId} comes before the next reply]`);
      } catch (error) {
        this.#refused.push(letter);
        this.#fault(error);
      }
    }
  }

  async #takeNew(): Promise<Letter[]> {
    try {
      return await this.#reader.takeNew();
    } catch (error) {
      this.#fault(error);
      return [];
    }
  }

  #fault(error: unknown): void {
    const message = `A message could not be given to the model: ${messageOf(error)}`;
    if (this.#faults.has(message)) return;
    this.#faults.add(message);
    this.#note(message);
  }
}

/** Begins with our own words: the host takes a text that begins with "/" for a command. */
function wordsOf({ text }: Letter): string {
  return `Message from the session that started this run:\n${text}`;
}
