import { scrollable } from "../views/dashboard.ts";
import { type DashboardView, PANES, type Pane } from "../views/dashboard-view.ts";
import type { RunPicture } from "../views/run-summary.ts";

const STEPS: Readonly<Record<string, number>> = { up: -1, k: -1, down: 1, j: 1 };
const SIDEWAYS: Readonly<Record<string, number>> = { left: -1, "[": -1, right: 1, "]": 1 };
const PAGES: Readonly<Record<string, number>> = { pageUp: 1, pageDown: -1 };

type Chosen = Pick<DashboardView, "pane" | "run" | "task" | "letter" | "scroll">;

/** What is chosen of all there is to see. A run stays chosen while others come before it. */
export class Choice {
  pane: Pane = "agents";
  #runId: string | null = null;
  #task = 0;
  #letter = 0;
  #scroll = 0;

  /** The choice as places in what there is now. */
  among(runs: readonly RunPicture[], letters: number): Chosen {
    const found = runs.findIndex(({ state }) => state.runId === this.#runId);
    const run = Math.max(0, found);
    this.#runId ??= runs[run]?.state.runId ?? null;
    const tasks = runs[run]?.state.tasks.length ?? 0;
    this.#task = within(this.#task, tasks);
    this.#letter = within(this.#letter, letters);
    return { pane: this.pane, run, task: this.#task, letter: this.#letter, scroll: this.#scroll };
  }

  /** The output ends at its newest line, and the metrics begin at their first. */
  #scrolled(key: string, pane: Pane): number {
    if (pane === "output") return PAGES[key] ?? 0;
    return pane === "metrics" ? (STEPS[key] ?? -(PAGES[key] ?? 0)) : 0;
  }

  /** False when the key chooses nothing. */
  move(key: string, view: DashboardView, width: number): boolean {
    const { runs, run, pane, height } = view;
    const next = PANES[Number(key) - 1];
    const scroll = this.#scrolled(key, pane) * (key in PAGES ? Math.max(1, Math.floor(height / 2)) : 1);
    if (scroll !== 0) {
      this.#scroll = within(this.#scroll + scroll, scrollable(view, width));
      return true;
    }
    if (next) this.pane = next;
    else if (key in SIDEWAYS) {
      this.#runId = runs[within(run + (SIDEWAYS[key] ?? 0), runs.length)]?.state.runId ?? null;
      this.#task = 0;
    } else if (key in STEPS && pane === "health") this.#letter += STEPS[key] ?? 0;
    else if (key in STEPS) this.#task += STEPS[key] ?? 0;
    else return false;
    this.#scroll = 0;
    return true;
  }
}

function within(at: number, count: number): number {
  return Math.max(0, Math.min(at, count - 1));
}
