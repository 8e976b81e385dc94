import { Input } from "@mariozechner/pi-tui";
import type { Prompt } from "../views/dashboard-view.ts";
import type { Question } from "./dashboard-actions.ts";
import type { Session } from "./session.ts";

/** Of a bracketed paste, which may hold line ends. */
const PASTE_BEGIN = "\x1b[200~";

type Work = (session: Session) => Promise<string>;

type Asking =
  | Exclude<Prompt, { kind: "question" | "input" }>
  | { kind: "ask"; question: Question }
  | { kind: "type"; title: string };

/** The lower edge: a question, a line to be typed, or what came of the last key. */
export class DashboardPrompt {
  readonly #input = new Input();
  #asking: Asking = { kind: "none" };

  /** Whether the cursor is shown. */
  get focused(): boolean {
    return this.#input.focused;
  }

  set focused(on: boolean) {
    this.#input.focused = on;
  }

  view(width: number): Prompt {
    const asking = this.#asking;
    if (asking.kind === "type")
      return { kind: "input", title: asking.title, line: width > 0 ? (this.#input.render(width)[0] ?? "") : "" };
    if (asking.kind !== "ask") return asking;
    const answers = asking.question.answers.map(({ key, says }) => `${key} ${says}`).join("   ");
    return { kind: "question", text: asking.question.text, answers: `${answers}   Esc leaves it` };
  }

  ask(question: Question): void {
    this.#asking = { kind: "ask", question };
  }

  type(title: string, given: string, done: (text: string) => void): void {
    this.#asking = { kind: "type", title };
    this.#input.setValue(given);
    // the cursor stands where it stood before
    this.#input.handleInput("\u0005");
    this.#input.onEscape = () => this.clear();
    this.#input.onSubmit = (text) => {
      this.clear();
      done(text);
    };
  }

  /** What the user has begun to answer or to type goes before it. */
  say(text: string, tone: "success" | "error" | "warning" | "muted"): void {
    if (this.#asking.kind !== "ask" && this.#asking.kind !== "type") this.#asking = { kind: "said", text, tone };
  }

  clear(): void {
    this.#asking = { kind: "none" };
  }

  /** Takes what is typed into the line; false when none is open. */
  takes(data: string): boolean {
    if (this.#asking.kind !== "type") return false;
    // the line takes a pasted line end for nothing, and glues the words around it
    this.#input.handleInput(data.startsWith(PASTE_BEGIN) ? data.replace(/\r\n?|\n/g, " ") : data);
    return true;
  }

  /** The work that the key chooses; null when it chooses none of what was asked. Undefined when nothing was. */
  answer(key: string): Work | null | undefined {
    const asking = this.#asking;
    this.clear();
    if (asking.kind !== "ask") return undefined;
    return asking.question.answers.find((one) => one.key === key)?.work ?? null;
  }
}
