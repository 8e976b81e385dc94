import { type Format, type ReadFamily, type ReadSample, readExposition } from "./exposition-reader.ts";

/** Go's units in the middle or at the end of a name, which promtool's lint knows too. */
const NO_BASE_UNIT = /_(?:ms|us|ns|sec|minutes|hours|milliseconds|kb|mb|gb|kilobytes|percent)(?:_|$)/;

/** What is wrong with an exposition, as sentences; empty when nothing is. Stricter than promtool and a scrape. */
export function expositionProblems(text: string, format: Format): string[] {
  const { families, problems } = readExposition(text, format);
  return [...problems, ...clashes(families), ...families.flatMap((family) => familyProblems(family, format))];
}

function familyProblems(family: ReadFamily, format: Format): string[] {
  const { name, type, help, samples } = family;
  const problems = [...repeated(samples)];
  if (type === null || help === null) problems.push(`${name} has no ${type === null ? "TYPE" : "HELP"}`);
  if (NO_BASE_UNIT.test(name)) problems.push(`${name} is not in a base unit`);
  if (type === "counter") {
    if (format === "text" && !name.endsWith("_total")) problems.push(`${name} does not end in _total`);
    if (format === "openmetrics" && name.endsWith("_total")) problems.push(`the family ${name} ends in _total`);
    for (const { value } of samples) if (!(value >= 0)) problems.push(`${name} is ${value}`);
  }
  if (type === "histogram") problems.push(...histogramProblems(family, format));
  else if (samples.some(({ labels }) => "le" in labels)) problems.push(`${name} has a label le`);
  if (samples.some(({ labels }) => "quantile" in labels))
    problems.push(`${name} has a label quantile, as summaries do`);
  return problems;
}

/** Two families of which one is called as a sample of the other. */
function clashes(families: readonly ReadFamily[]): string[] {
  const suffixes = ["_total", "_created", "_bucket", "_sum", "_count"];
  const taken = families.flatMap(({ name, type, samples }) => {
    const reserved =
      type === "gauge" ? [] : suffixes.filter((suffix) => (suffix === "_total") !== (type === "histogram"));
    return [...new Set([name, ...samples.map((sample) => sample.name), ...reserved.map((suffix) => name + suffix)])];
  });
  return taken.filter((name, i) => taken.indexOf(name) !== i).map((name) => `${name} is the name of two things`);
}

function repeated(samples: readonly ReadSample[]): string[] {
  const seen = new Set<string>();
  return samples.flatMap(({ name, labels }) => {
    const id = idOf(name, labels);
    if (seen.has(id)) return [`series ${id} twice`];
    seen.add(id);
    return [];
  });
}

function idOf(name: string, labels: Record<string, string>): string {
  return name + JSON.stringify(Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function histogramProblems({ name, samples }: ReadFamily, format: Format): string[] {
  const series = new Map<string, ReadSample[]>();
  for (const sample of samples) {
    const { le: _le, ...own } = sample.labels;
    const id = idOf(name, own);
    series.set(id, [...(series.get(id) ?? []), sample]);
  }
  return [...series].flatMap(([id, own]) => seriesProblems(name, own, format).map((problem) => `${id}: ${problem}`));
}

function seriesProblems(name: string, samples: readonly ReadSample[], format: Format): string[] {
  const problems: string[] = [];
  const buckets = samples.filter((sample) => sample.name === `${name}_bucket`);
  const only = (suffix: string) => samples.find((sample) => sample.name === name + suffix)?.value;
  const texts = buckets.map(({ labels }) => labels["le"] ?? "");
  const limits = texts.map((le) => (le === "" ? Number.NaN : Number(le.replace("+Inf", "Infinity"))));
  if (texts.at(-1) !== "+Inf") problems.push("no bucket +Inf at the end");
  if (limits.some((limit, i) => !(i === 0 || limit > Number(limits[i - 1])))) problems.push("bounds do not ascend");
  if (buckets.some(({ value }, i) => !(value >= Number(buckets[i - 1]?.value ?? 0)))) problems.push("not cumulative");
  // OpenMetrics: a sum that may fall is no counter, and count is there if and only if sum is
  const [sum, count] = [only("_sum"), only("_count")];
  const isNegative = Number(limits[0]) < 0 || Number(sum) < 0;
  const mayLack = format === "openmetrics" && sum === undefined && count === undefined;
  if (format === "openmetrics" && isNegative && sum !== undefined) problems.push("a _sum that may fall");
  if (!mayLack && count !== buckets.at(-1)?.value) problems.push("_count is not the bucket +Inf");
  if (!mayLack && sum === undefined) problems.push("no _sum");
  const canonical = /^(?:-?\d+\.\d+|-?\d(?:\.\d+)?e[+-]\d{2,}|\+Inf)$/;
  if (format === "openmetrics" && !texts.every((le) => canonical.test(le))) problems.push(`not canonical: ${texts}`);
  return problems;
}
