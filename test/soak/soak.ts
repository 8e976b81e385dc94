import { rm } from "node:fs/promises";
import { parseArgs } from "node:util";
import type { Counts } from "./oracle.ts";
import { planRound } from "./plan.ts";
import { playRound, type RoundReport } from "./round.ts";

// Kills what drives and does scripted runs, thousands of times, and looks at what is left:
// npm run soak -- --rounds 2000 --seed 1 --minutes 60 --parallel 2

const COMPLAINTS_SHOWN_MAX = 3;
const TOLD_EVERY_MS = 30_000;

/** Sums over all rounds. */
class Tally {
  rounds = 0;
  faulty = 0;
  readonly blows: Counts = {};
  readonly kills: Counts = {};
  readonly counts: Counts = {};
  readonly complaints = new Map<string, number>();

  take(report: RoundReport): void {
    this.rounds++;
    if (report.faults.length > 0) this.faulty++;
    add(this.blows, report.blows);
    for (const line of report.ledger) if (line.kind === "kill") add(this.kills, { [line.victim]: 1 });
    add(this.counts, report.counts);
    for (const text of report.complaints) {
      const line = text.split("\n")[0] ?? "";
      this.complaints.set(line, (this.complaints.get(line) ?? 0) + 1);
    }
  }

  lines(): string[] {
    const told = [...this.complaints].sort((a, b) => b[1] - a[1]).slice(0, COMPLAINTS_SHOWN_MAX);
    return [
      `rounds ${this.rounds} · ${inWords(this.counts)}`,
      `killed: ${inWords(this.kills) || "none"} · blows: ${inWords(this.blows) || "none"}`,
      ...told.map(([text, times]) => `told ${times} times: ${text}`),
      `faulty rounds: ${this.faulty}`,
    ];
  }
}

function add(sums: Counts, more: Partial<Record<string, number>>): void {
  for (const [name, value = 0] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + value;
}

function inWords(counts: Counts): string {
  return Object.entries(counts)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

async function soak(options: { rounds: number; seed: number; minutes: number; parallel: number }): Promise<number> {
  const tally = new Tally();
  const until = performance.now() + options.minutes * 60_000;
  let begun = 0;
  let toldAt = performance.now();
  const play = async () => {
    while (begun < options.rounds && performance.now() < until) {
      const seed = options.seed + begun++;
      const report = await playRound(planRound(seed, true));
      tally.take(report);
      if (report.faults.length === 0) await rm(report.folder, { recursive: true, force: true });
      if (report.faults.length > 0)
        say([`seed ${seed}, kept in ${report.folder}:`, ...report.faults.map((it) => `  ${it}`)]);
      if (performance.now() - toldAt < TOLD_EVERY_MS) continue;
      toldAt = performance.now();
      say(tally.lines());
    }
  };
  say([`scripted workers, real everything else; seed ${options.seed}`]);
  await Promise.all(Array.from({ length: options.parallel }, play));
  say(tally.lines());
  return tally.faulty === 0 ? 0 : 1;
}

function say(lines: readonly string[]): void {
  process.stdout.write(`${lines.join("\n")}\n`);
}

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "2000" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string", default: "60" },
    parallel: { type: "string", default: "2" },
  },
});
process.exitCode = await soak({
  rounds: Number(values.rounds),
  seed: Number(values.seed),
  minutes: Number(values.minutes),
  parallel: Number(values.parallel),
});
