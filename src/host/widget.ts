import type { Theme } from "@mariozechner/pi-coding-agent";
import { messageOf } from "../system/errors.ts";
import { type Paint, PLAIN } from "../views/paint.ts";
import { renderRunsBrief, renderWidget } from "../views/run-widget.ts";
import { askQuestions, forgetQuestions } from "./ask-the-user.ts";
import { outputWidth } from "./output.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";

const KEY = "foreman";
/** To a client, which keeps all that it is sent. */
const SENT_EVERY_MS = 10_000;

/** Lines above the editor and a word in the footer while runs are under way; nothing after. */
export class RunWidget {
  readonly #session: Session;
  readonly #runs = new Map<string, ShownRun>();
  readonly #drawn = { lines: "", brief: "", atMs: Number.NEGATIVE_INFINITY };

  constructor(session: Session) {
    this.#session = session;
  }

  show(run: ShownRun): void {
    const { runId } = run.run.manifest;
    if (this.#runs.has(runId)) return;
    this.#runs.set(runId, run);
    const following = this.#session.feed().follow(runId, () => this.#look(run));
    this.#look(run);
    run.done
      .then(() => {
        following[Symbol.dispose]();
        this.#runs.delete(runId);
        forgetQuestions(this.#session, run);
        this.#draw();
      })
      .catch((error: unknown) => this.#session.world.log.warn("a widget was left behind", { error: messageOf(error) }));
  }

  #look(run: ShownRun): void {
    askQuestions(this.#session, run);
    this.#draw();
  }

  #draw(): void {
    const { context, dialogs, world } = this.#session;
    if (!context) return;
    const { ui } = context;
    const runs = [...this.#runs.values()].map(({ run, standstill }) => ({ state: run.state, standstill }));
    const now = world.clock.now();
    const atMs = world.clock.monotonicMs();
    const brief = renderRunsBrief(runs);
    const { inTerminal } = dialogs;
    if (!inTerminal && brief === this.#drawn.brief && atMs - this.#drawn.atMs < SENT_EVERY_MS) return;
    const paint = inTerminal ? paintOf(ui.theme) : PLAIN;
    // the host puts a blank on both sides
    const linesAt = (at: number) => renderWidget(runs, at, outputWidth(), paint);
    // a client is not sent a clock
    const lines = linesAt(inTerminal ? now : 0).join("\n");
    if (lines !== this.#drawn.lines) {
      const shown = linesAt(now);
      ui.setWidget(KEY, shown.length > 0 ? shown : undefined);
      Object.assign(this.#drawn, { lines, atMs });
    }
    if (brief !== this.#drawn.brief) ui.setStatus(KEY, brief === "" ? undefined : brief);
    this.#drawn.brief = brief;
  }
}

/** Shows a run in this session while it is under way; the course of its metrics is kept from then on. */
export function showProgress(session: Session, run: ShownRun): void {
  const feed = session.feed();
  feed.widget ??= new RunWidget(session);
  feed.widget.show(run);
  session
    .telemetry()
    .then((telemetry) => telemetry.history())
    .catch((error: unknown) => session.world.log.warn("no history is kept", { error: messageOf(error) }));
}

/** The host's colours. Its theme is asked at each frame: the user may change it. */
export function paintOf(theme: Theme): Paint {
  return {
    tone: (tone, text) => theme.fg(tone, text),
    bold: (text) => theme.bold(text),
    chosen: (line) => theme.bg("selectedBg", line),
  };
}
