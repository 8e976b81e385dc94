import type { ExtensionCommandContext } from "@mariozechner/pi-coding-agent";
import { parseKey, type TUI } from "@mariozechner/pi-tui";
import { attemptUnderWay, openQuestion, type TaskState } from "../runs/run-state.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { renderDashboard } from "../views/dashboard.ts";
import { chosenRun, chosenTask, type DashboardView } from "../views/dashboard-view.ts";
import type { Paint } from "../views/paint.ts";
import type { RunPicture } from "../views/run-summary.ts";
import { exportRun } from "./command-export.ts";
import { tellTask, whyNotTold } from "./dashboard-actions.ts";
import { Choice } from "./dashboard-choice.ts";
import type { DashboardData } from "./dashboard-data.ts";
import { keysOf, questionOf, whyNothing } from "./dashboard-keys.ts";
import { DashboardPrompt } from "./dashboard-prompt.ts";
import type { DashboardTranscript, FollowedAttempt } from "./dashboard-transcript.ts";
import type { Session } from "./session.ts";
import { paintOf } from "./widget.ts";

const SECOND_MS = 1000;
const FILTER_TITLE = "Names of metrics, such as crew.task.*   Enter shows them, none all   Esc leaves it";
const OVERLAY = { width: "100%", maxHeight: "100%", anchor: "top-left" } as const;

export interface DashboardParts {
  session: Session;
  data: DashboardData;
  transcript: DashboardTranscript;
}

/** Shows the dashboard over the whole terminal until its user closes it, or the session ends. */
export async function showDashboard(ctx: ExtensionCommandContext, parts: DashboardParts): Promise<void> {
  await ctx.ui.custom<undefined>(
    (tui, theme, _keys, done) => new Dashboard(parts, tui, paintOf(theme), () => done(undefined)),
    { overlay: true, overlayOptions: OVERLAY },
  );
}

/** Nothing it throws may reach the host, which would end: a fault is logged, and the frame before stays. */
class Dashboard {
  readonly #parts: DashboardParts;
  readonly #tui: TUI;
  readonly #paint: Paint;
  readonly #close: () => void;
  readonly #hearing: Disposable;
  #seconds: Disposable | null = null;
  readonly #prompt = new DashboardPrompt();
  readonly #chosen = new Choice();
  #filter = "";
  #closed = false;
  #frame: { lines: string[]; width: number; height: number } = { lines: [], width: 0, height: 0 };
  #stale = true;

  constructor(parts: DashboardParts, tui: TUI, paint: Paint, close: () => void) {
    this.#parts = parts;
    this.#tui = tui;
    this.#paint = paint;
    this.#close = close;
    parts.session.feed().covered = true;
    this.#hearing = parts.session.feed().hear(null, () => this.#refresh());
    // the host neither disposes of an overlay nor resolves it when the session is replaced
    parts.session.defer(() => this.#end());
    this.#refresh();
  }

  render(width: number): string[] {
    const height = this.#tui.terminal.rows;
    if (this.#stale || width !== this.#frame.width || height !== this.#frame.height)
      this.#guard("drawn", () => this.#draw(width, height));
    return this.#frame.lines;
  }

  invalidate(): void {
    this.#stale = true;
  }

  get focused(): boolean {
    return this.#prompt.focused;
  }

  /** A dialog of the host's that takes the keys would lie below: the dashboard gives way to it. */
  set focused(on: boolean) {
    this.#prompt.focused = on;
    if (!on) queueMicrotask(() => this.#prompt.focused || this.#end());
  }

  dispose(): void {
    this.#closed = true;
    this.#parts.session.feed().covered = false;
    this.#hearing[Symbol.dispose]();
    this.#parts.transcript[Symbol.dispose]();
    this.#seconds?.[Symbol.dispose]();
    this.#seconds = null;
  }

  handleInput(data: string): void {
    let typed = false;
    this.#guard("steered", () => {
      typed = this.#prompt.takes(data);
      if (!typed) this.#press(parseKey(data) ?? data);
    });
    this.#stale = true;
    // a typed line waits for the host's next frame, however many keys come before it
    if (!typed) this.#refresh();
    this.#tui.requestRender();
  }

  #end(): void {
    if (this.#closed) return;
    this.dispose();
    this.#close();
  }

  /** Draws, and has the host show it, only when the frame is another one. */
  #refresh(): void {
    if (this.#closed) return;
    this.#guard("drawn", () => {
      const { lines, width, height } = this.#frame;
      this.#look();
      if (width === 0) return;
      this.#draw(width, height);
      if (this.#frame.lines.some((line, at) => line !== lines[at])) this.#tui.requestRender();
    });
  }

  #draw(width: number, height: number): void {
    this.#frame = { lines: renderDashboard(this.#view(height, width), width), width, height };
    this.#stale = false;
  }

  /** What lies on disk is looked at beside the drawing; the clock runs only while something moves. */
  #look(): void {
    const { data, transcript, session } = this.#parts;
    data.look(() => this.#refresh());
    const view = this.#view(0, 0);
    transcript.follow(data.crewRoot, this.#chosen.pane === "output" ? attemptShown(view) : null, () => this.#refresh());
    const moves = data.moving || this.#chosen.pane === "metrics";
    if (moves) this.#seconds ??= session.world.clock.every(SECOND_MS, () => this.#refresh());
    else {
      this.#seconds?.[Symbol.dispose]();
      this.#seconds = null;
    }
  }

  #view(height: number, width: number): DashboardView {
    const { data, transcript, session } = this.#parts;
    const runs = data.runs();
    const { letters } = data;
    const chosen = this.#chosen.among(runs, letters.length);
    const state = runs[chosen.run]?.state;
    const sick = state && chosen.pane === "health" ? state : null;
    const view = {
      ...{ ...chosen, height, runs, letters, paint: this.#paint, now: session.world.clock.now() },
      ...{ filter: this.#filter, transcript: transcript.lines, prompt: this.#prompt.view(width) },
      driver: sick ? data.driverOf(sick) : "",
      silences: sick ? data.silences(sick.runId) : new Map<string, number>(),
      metrics: chosen.pane === "metrics" ? data.metrics() : null,
    };
    return { ...view, keys: keysOf(view) };
  }

  #press(key: string): void {
    const work = this.#prompt.answer(key);
    if (work) this.#do(work);
    if (work !== undefined) return;
    const { height, width } = this.#frame;
    if (key === "q" || key === "escape" || key === "ctrl+c") this.#end();
    else if (!this.#chosen.move(key, this.#view(height, width), width)) this.#act(key);
  }

  #act(key: string): void {
    const view = this.#view(0, 0);
    const run = chosenRun(view);
    const question = questionOf(view, key);
    if (question) this.#prompt.ask(question);
    else if (key === "/" && view.pane === "metrics")
      this.#prompt.type(FILTER_TITLE, this.#filter, (text) => {
        this.#filter = text.trim();
      });
    else if (key === "e" && run) this.#do(async (session) => (await exportRun(session, run.state.runId)).said);
    else if (key === "m" && run) this.#message(run, chosenTask(view));
    else {
      const why = whyNothing(view, key);
      if (why !== null) this.#prompt.say(why, "muted");
    }
  }

  #message(run: RunPicture, task: TaskState | null): void {
    const why = whyNotTold(run, task);
    if (why !== null) this.#prompt.say(why, "warning");
    if (why !== null || task === null) return;
    const { taskId } = task;
    const how = openQuestion(task) ? "Answer to" : "To";
    const title = `${how} task ${taskId}, before its next reply   Enter sends   Esc leaves it`;
    this.#prompt.type(title, "", (text) => {
      if (text.trim() === "") this.#prompt.say("Nothing was sent.", "muted");
      else this.#do(tellTask(run.state.runId, taskId, text));
    });
  }

  /** Says what came of it; a frame shows it when it has. */
  #do(work: (session: Session) => Promise<string>): void {
    const { session, data } = this.#parts;
    this.#prompt.say("…", "muted");
    const report = async () => {
      try {
        this.#prompt.say(await work(session), "success");
      } catch (error) {
        if (!(error instanceof UserError)) session.world.log.error("a key's work failed", { error: messageOf(error) });
        this.#prompt.say(messageOf(error), "error");
      }
      this.#refresh();
      await data.load();
      this.#refresh();
    };
    void report();
  }

  #guard(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#parts.session.world.log.error(`the dashboard could not be ${what}`, { error: messageOf(error) });
    }
  }
}

/** The last one of the chosen task. */
function attemptShown(view: DashboardView): FollowedAttempt | null {
  const run = chosenRun(view);
  const task = chosenTask(view);
  const last = task?.attempts.at(-1);
  if (!run || !task || !last) return null;
  const { runId } = run.state;
  return { runId, taskId: task.taskId, attempt: last.attempt, underWay: attemptUnderWay(task) !== null };
}
