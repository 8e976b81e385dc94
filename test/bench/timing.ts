/** Quantiles of samples, and rows of a table. Trust the ratios of one run, not the numbers of two. */

export interface Spread {
  /** The lower quartile stands for a quiet machine: on a shared one a round is only ever made slower. */
  p25: number;
  p50: number;
  p95: number;
  /** Of the processor, all threads of this process together; the mean. Says the same on a busy machine. */
  cpu?: number;
}

export function spread(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p25: at(0.25), p50: at(0.5), p95: at(0.95) };
}

/** Milliseconds of each of `rounds` calls; `before` is not counted. Rounds of the warm-up are left out. */
export async function sample(
  rounds: number,
  work: () => unknown,
  before: () => unknown = () => undefined,
): Promise<Spread> {
  const samples: number[] = [];
  let cpuUs = 0;
  const warm = Math.ceil(rounds / 4);
  for (let round = -warm; round < rounds; round++) {
    await before();
    const cpu = process.cpuUsage();
    const started = performance.now();
    await work();
    const ms = performance.now() - started;
    const { user, system } = process.cpuUsage(cpu);
    if (round < 0) continue;
    samples.push(ms);
    cpuUs += user + system;
  }
  return { ...spread(samples), cpu: cpuUs / 1000 / rounds };
}

/** `goal` is compared with the lower quartile, and so is `rival`, which the ratio is of. */
export function row(
  name: string,
  { p25, p50, p95, cpu }: Spread,
  unit: "ms" | "µs",
  goal?: number,
  rival?: Spread,
): void {
  const scale = unit === "µs" ? 1000 : 1;
  const cells = [
    `p25 ${(p25 * scale).toFixed(2)} ${unit}`,
    `p50 ${(p50 * scale).toFixed(2)} ${unit}`,
    `p95 ${(p95 * scale).toFixed(2)} ${unit}`,
  ];
  cells.push(cpu === undefined ? "" : `cpu ${(cpu * scale).toFixed(2)} ${unit}`);
  if (goal !== undefined) cells.push(`goal ${goal} ${unit} ${p25 * scale <= goal ? "met" : "MISSED"}`);
  if (rival) cells.push(`ratio ${(p25 / rival.p25).toFixed(4)}`);
  console.log(`  ${name.padEnd(56)}${cells.map((cell) => cell.padEnd(18)).join(" ")}`.trimEnd());
}
