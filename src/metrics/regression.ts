/** One finished run of a workflow. */
export interface RunSample {
  endedAt: number;
  completed: boolean;
  durationMs: number;
  costUsd: number;
  /** Stands for the definitions that were in force; another value is a change. */
  definitions: string;
}

interface Regression {
  what: "duration" | "cost" | "success";
  /** Medians, or rates of success. */
  before: number;
  now: number;
  /** Whether the definitions changed between the two. */
  changed: boolean;
  sentence: string;
}

const NEWEST = 5;
const BASELINE_MIN = 10;
const BASELINE_MAX = 50;
/** One-sided, some 1 in 200 by chance. */
const Z_MIN = 2.58;
const CHANCE_MAX = 0.01;
/** A smaller change is not worth a word, however certain. */
const RATIO_MIN = 1.25;

/**
 * Whether a workflow's 5 newest runs are slower, dearer or fail more often than the up to 50 before them: ranks
 * (Mann & Whitney 1947, with ties) for durations and costs of completed runs, Fisher's exact test for success, so that
 * one odd run says nothing. Empty with fewer than 10 to compare with.
 */
export function findRegressions(workflow: string, samples: readonly RunSample[]): Regression[] {
  const ordered = [...samples].sort((a, b) => a.endedAt - b.endedAt);
  const newest = ordered.slice(-NEWEST);
  const baseline = ordered.slice(-NEWEST - BASELINE_MAX, -NEWEST);
  if (baseline.length < BASELINE_MIN) return [];
  const changed = baseline.at(-1)?.definitions !== newest.at(-1)?.definitions;
  const since = changed ? ", since its definition changed" : "";
  const found: Regression[] = [];
  const add = (what: Regression["what"], before: number, now: number, told: string) =>
    found.push({ what, before, now, changed, sentence: `Workflow ${workflow} ${told}${since}.` });

  const succeeded = (runs: readonly RunSample[]) => runs.filter(({ completed }) => completed);
  const [good, goodBefore] = [succeeded(newest), succeeded(baseline)];
  const chance = chanceOfFewer(good.length, newest.length, goodBefore.length, baseline.length);
  if (chance <= CHANCE_MAX) {
    const told = `fails more often: ${good.length} of its last ${newest.length} runs were completed`;
    const rate = goodBefore.length / baseline.length;
    add("success", rate, good.length / newest.length, `${told}, before ${Math.round(rate * 100)} %`);
  }
  const compare = (what: "duration" | "cost", of: (run: RunSample) => number, told: string) => {
    const [now, before] = [good.map(of), goodBefore.map(of)];
    if (now.length < 3 || before.length < BASELINE_MIN) return;
    const [medianNow, medianBefore] = [median(now), median(before)];
    const ratio = medianNow / medianBefore;
    if (!(ratio >= RATIO_MIN) || rankShift(now, before) < Z_MIN) return;
    const times = Number.isFinite(ratio) ? `${ratio.toFixed(1)} times` : "more than";
    add(what, medianBefore, medianNow, `${told} ${times} what it did in the ${before.length} runs before`);
  };
  compare("duration", ({ durationMs }) => durationMs, "takes");
  compare("cost", ({ costUsd }) => costUsd, "costs");
  return found;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? 0) + (sorted[Math.ceil(middle)] ?? 0)) / 2;
}

/** How many standard deviations the ranks of `a` lie above what chance would give, beside `b`. */
export function rankShift(a: readonly number[], b: readonly number[]): number {
  const n = a.length + b.length;
  let wins = 0;
  for (const x of a) for (const y of b) wins += x > y ? 1 : x === y ? 0.5 : 0;
  const sizes = new Map<number, number>();
  for (const value of [...a, ...b]) sizes.set(value, (sizes.get(value) ?? 0) + 1);
  const ties = [...sizes.values()].reduce((sum, t) => sum + (t ** 3 - t), 0);
  const variance = ((a.length * b.length) / 12) * (n + 1 - ties / (n * (n - 1)));
  // half a rank for a continuous distribution in place of steps
  return variance > 0 ? (wins - (a.length * b.length) / 2 - 0.5) / Math.sqrt(variance) : 0;
}

/** The probability that of `n` drawn at most `good` are good, when `good + goodBefore` of all are. */
function chanceOfFewer(good: number, n: number, goodBefore: number, nBefore: number): number {
  const all = good + goodBefore;
  let chance = 0;
  for (let k = Math.max(0, all - nBefore); k <= good; k++)
    chance += Math.exp(logChoose(n, k) + logChoose(nBefore, all - k) - logChoose(n + nBefore, all));
  return chance;
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}
