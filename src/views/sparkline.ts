const STEPS = "▁▂▃▄▅▆▇█";

/** One character a value, the greatest as high as it gets; a blank where nothing is known. The last `width` values. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = width < 1 ? [] : values.slice(-width);
  const most = Math.max(0, ...shown.filter(Number.isFinite));
  return shown.map((value) => (Number.isFinite(value) ? stepOf(value, most) : " ")).join("");
}

function stepOf(value: number, most: number): string {
  const share = most > 0 ? Math.max(0, value) / most : 0;
  return STEPS[Math.min(STEPS.length - 1, Math.floor(share * STEPS.length))] ?? "";
}
