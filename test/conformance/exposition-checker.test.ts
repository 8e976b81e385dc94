import { describe, expect, it } from "vitest";
import { expositionProblems } from "../support/exposition-checker.ts";
import { readExposition } from "../support/exposition-reader.ts";

/** The judge is judged first: what Prometheus' own tools let pass must not pass here. */

const TEXT = String.raw`# HELP crew_a_count_total Things \\ and\nlines
# TYPE crew_a_count_total counter
crew_a_count_total{x="1",y="a\"}, \\ \n"} 3
crew_a_count_total{x="2",y=""} 0.5

# HELP crew_a_active Now
# TYPE crew_a_active gauge
crew_a_active -1e-07
# HELP crew_a_wait_seconds Waits
# TYPE crew_a_wait_seconds histogram
crew_a_wait_seconds_bucket{le="0.1"} 1
crew_a_wait_seconds_bucket{le="5"} 1
crew_a_wait_seconds_bucket{le="+Inf"} 2
crew_a_wait_seconds_sum 7.25
crew_a_wait_seconds_count 2
`;

const OPEN = String.raw`# HELP crew_a_cost_usd Cost \"of\" it
# TYPE crew_a_cost_usd counter
# UNIT crew_a_cost_usd usd
crew_a_cost_usd_total{x="1"} 3 # {trace_id="abc"} 1 1700000000.5
# TYPE crew_a_wait_seconds histogram
# UNIT crew_a_wait_seconds seconds
# HELP crew_a_wait_seconds Waits
crew_a_wait_seconds_bucket{le="0.1"} 1
crew_a_wait_seconds_bucket{le="5.0"} 1
crew_a_wait_seconds_bucket{le="1e+06"} 1
crew_a_wait_seconds_bucket{le="+Inf"} 2
crew_a_wait_seconds_sum 7.25
crew_a_wait_seconds_count 2
# EOF
`;

type Break = [what: string, from: string | RegExp, to: string, complaint: RegExp];

const BROKEN_TEXT: Break[] = [
  ["a bad escape in a value", String.raw`y="a\"}`, 'y="a"}', /not a sample|bad labels/],
  ["an unknown escape", String.raw`\\ \n`, String.raw`\q \n`, /unknown escape \\q/],
  ["an unknown escape in HELP", String.raw`and\nlines`, String.raw`and\"lines`, /unknown escape/],
  ["a bad number", "-1e-07", "1,5", /not a number/],
  ["a label twice in a sample", 'x="2",y=""', 'x="2",x="3"', /label x twice/],
  ["a dotted name", "crew_a_active -1e-07", "crew.a.active 1", /not a sample/],
  ["no line feed at the end", /\n$/, "", /no line feed/],
  ["a second HELP", "# TYPE crew_a_active", "# HELP crew_a_active Now\n# TYPE crew_a_active", /second HELP/],
  ["a second TYPE", "crew_a_active -1", "# TYPE crew_a_active gauge\ncrew_a_active -1", /second TYPE/],
  ["neither HELP nor TYPE", /# .* crew_a_active .*\n/g, "", /no sample of the family before it/],
  ["no HELP", "# HELP crew_a_active Now\n", "", /no HELP/],
  ["HELP after a sample", /(# HELP crew_a_active Now\n)(.*\n)(.*\n)/, "$2$3$1", /after its samples/],
  ["a counter without _total", /crew_a_count_total/g, "crew_a_count", /does not end in _total/],
  ["a unit that is no base unit", /crew_a_wait_seconds/g, "crew_a_wait_ms", /not in a base unit/],
  ["a series twice", 'x="2",y=""', String.raw`y="a\"}, \\ \n",x="1"`, /twice/],
  ["a quantile outside a summary", "crew_a_active -1", 'crew_a_active{quantile="0.5"} -1', /label quantile/],
  ["a family in two groups", /$/, '# TYPE crew_a_active gauge\ncrew_a_active{x="1"} 1\n', /in two groups/],
  ["a sample of another family", /(crew_a_active) (-1.*\n)/, "$1 $2crew_a_count_total 1\n", /no sample of the family/],
  ["a histogram without +Inf", /.*\+Inf.*\n/, "", /no bucket \+Inf/],
  ["buckets that are not cumulative", 'le="5"} 1', 'le="5"} 0', /not cumulative/],
  ["bounds that do not ascend", 'le="5"', 'le="0.05"', /do not ascend/],
  ["a count that is not the last bucket", "seconds_count 2", "seconds_count 3", /_count is not the bucket/],
  ["a histogram without sum", /.*_sum.*\n/, "", /no _sum/],
  ["a negative counter", /0\.5$/m, "-0.5", /is -0.5/],
  ["half a surrogate pair", 'x="2"', 'x="\ud800"', /no UTF-8/],
  ["a timestamp", "-1e-07", "1 1700000000000", /timestamp/],
  ["a gauge called as a histogram's sum", /crew_a_active/g, "crew_a_wait_seconds_sum", /name of two things/],
];

const BROKEN_OPEN: Break[] = [
  ["no end mark", "# EOF\n", "", /no # EOF/],
  ["a blank line", "# EOF", "\n# EOF", /blank line/],
  ["data after the end", /$/, "crew_a_cost_usd_total 3\n", /after # EOF/],
  ["a unit that the name does not end in", "usd usd", "usd seconds", /does not end in its unit/],
  ["an exemplar of more than 128 characters", "abc", "a".repeat(121), /128/],
  ["an exemplar's time in milliseconds", "1700000000.5", "1700000000500", /not in seconds/],
  ["a timestamp in milliseconds", "seconds_count 2", "seconds_count 2 1700000000500", /not in seconds/],
  ["a counter without _total", "crew_a_cost_usd_total", "crew_a_cost_usd", /no sample of the family/],
  ["a counter's family with _total", "TYPE crew_a_cost_usd ", "TYPE crew_a_cost_usd_total ", /ends in _total/],
  ["a quote in HELP", String.raw`Cost \"`, 'Cost "', /quote/],
  ["a bound that is not canonical", 'le="5.0"', 'le="5"', /not canonical/],
];

function breakIt(text: string, [what, from, to]: Break): string {
  const broken = text.replace(from, to);
  expect(broken, `${what} changes something`).not.toBe(text);
  return broken;
}

describe("the exposition checker", () => {
  it("has nothing against what is right", () => {
    expect(expositionProblems(TEXT, "text")).toEqual([]);
    expect(expositionProblems(OPEN, "openmetrics")).toEqual([]);
    expect(expositionProblems("", "text")).toEqual([]);
    expect(expositionProblems("# EOF\n", "openmetrics")).toEqual([]);
  });

  it("reads what was meant", () => {
    const [count, active] = readExposition(TEXT, "text").families;
    expect(count).toMatchObject({ type: "counter", help: "Things \\ and\nlines" });
    expect(count?.samples[0]).toEqual({ name: "crew_a_count_total", labels: { x: "1", y: 'a"}, \\ \n' }, value: 3 });
    expect(active?.samples).toEqual([{ name: "crew_a_active", labels: {}, value: -1e-7 }]);
  });

  it.each(BROKEN_TEXT)("sees in text %s", (...broken) => {
    expect(expositionProblems(breakIt(TEXT, broken), "text").join("\n")).toMatch(broken[3]);
  });

  it.each(BROKEN_OPEN)("sees in OpenMetrics %s", (...broken) => {
    expect(expositionProblems(breakIt(OPEN, broken), "openmetrics").join("\n")).toMatch(broken[3]);
  });
});
