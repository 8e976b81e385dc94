import { describe, expect, it } from "vitest";
import { faultsOf } from "./otlp-judge.ts";

/** The judge is worth what it catches: each defect was seen in an exporter, or is one that decoders take. */

const resource = {
  attributes: ["service.name", "service.version", "service.instance.id"].map((key) => ({
    key,
    value: { stringValue: "x" },
  })),
};
const scope = { name: "s", version: "1" };
const times = { startTimeUnixNano: "1000", timeUnixNano: "2000" };
const point = { ...times, count: "3", sum: 4.5, bucketCounts: ["1", "2"], explicitBounds: [10] };
const sumPoint = { ...times, asInt: "3" };

function metrics(...list: object[]): string {
  return JSON.stringify({ resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics: list }] }] });
}

const histogramOf = (change: object) => ({
  name: "h",
  unit: "s",
  histogram: { aggregationTemporality: 2, dataPoints: [{ ...point, ...change }] },
});
const sumOf = (change: object, data: object = {}) => ({
  name: "c",
  sum: { aggregationTemporality: 2, isMonotonic: true, dataPoints: [{ ...sumPoint, ...change }], ...data },
});

const span = {
  traceId: "0af7651916cd43dd8448eb211c80319c",
  spanId: "b7ad6b7169203331",
  name: "n",
  kind: 1,
  startTimeUnixNano: "1",
  endTimeUnixNano: "2",
  attributes: [],
  status: {},
};

function spans(change: object): string {
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans: [{ scope, spans: [{ ...span, ...change }] }] }] });
}

describe("the judge of OTLP requests", () => {
  it("takes what is right", () => {
    expect(faultsOf("metrics", metrics(histogramOf({}), sumOf({})))).toEqual([]);
    expect(faultsOf("traces", spans({}))).toEqual([]);
  });

  it.each([
    ["an infinite bound, which JSON makes null", metrics(histogramOf({ explicitBounds: [null] }))],
    ["as many counts as bounds", metrics(histogramOf({ bucketCounts: ["3"] }))],
    ["counts as numbers", metrics(histogramOf({ bucketCounts: [1, 2] }))],
    ["a count that is not that of the buckets", metrics(histogramOf({ count: "4" }))],
    ["bounds that do not ascend", metrics(histogramOf({ explicitBounds: [5, 5], bucketCounts: ["1", "1", "1"] }))],
    ["no temporality", metrics(sumOf({}, { aggregationTemporality: undefined }))],
    ["no word of being monotonic", metrics(sumOf({}, { isMonotonic: undefined }))],
    ["no time", metrics(sumOf({ timeUnixNano: undefined }))],
    ["a time as a number", metrics(sumOf({ timeUnixNano: 2000 }))],
    ["a time with a fraction", metrics(sumOf({ timeUnixNano: "2000.5" }))],
    ["no start", metrics(sumOf({ startTimeUnixNano: undefined }))],
    ["a start after the time", metrics(sumOf({ startTimeUnixNano: "3000" }))],
    ["an integer as a number", metrics(sumOf({ asInt: 3 }))],
    ["two numbers", metrics(sumOf({ asDouble: 3 }))],
    ["NaN, which JSON makes null", metrics(sumOf({ asInt: undefined, asDouble: null }))],
    ["a negative sum that only grows", metrics(sumOf({ asInt: "-3" }))],
    ["a metric twice", metrics(sumOf({}), sumOf({}))],
    ["a point twice", metrics(sumOf({}, { dataPoints: [sumPoint, sumPoint] }))],
    ["an attribute twice", metrics(sumOf({ attributes: [resource.attributes[0], resource.attributes[0]] }))],
    ["an attribute that is plain text", metrics(sumOf({ attributes: [{ key: "a", value: "b" }] }))],
    ["an unknown field", metrics({ ...sumOf({}), labels: {} })],
    ["the names of the definitions", metrics(sumOf({ time_unix_nano: "2000", timeUnixNano: undefined }))],
    ["two kinds of data", metrics({ ...sumOf({}), gauge: { dataPoints: [sumPoint] } })],
    ["half a character", metrics(sumOf({ attributes: [{ key: "a", value: { stringValue: "\ud800" } }] }))],
    ["no service name", metrics(sumOf({})).replaceAll("service.name", "other.name")],
  ])("refuses metrics with %s", (_what, body) => {
    expect(faultsOf("metrics", body)).not.toEqual([]);
  });

  it.each([
    ["a short id", { spanId: "b7ad" }],
    ["an id of zeroes", { traceId: "0".repeat(32) }],
    ["an id in capitals", { spanId: "B7AD6B7169203331" }],
    ["an id in base64", { spanId: "t61rcWkgMzE=" }],
    ["a bad parent", { parentSpanId: "" }],
    ["an end before its start", { endTimeUnixNano: "0" }],
    ["the name of a kind", { kind: "SPAN_KIND_INTERNAL" }],
    ["no kind", { kind: 0 }],
    ["a message without an error", { status: { message: "m" } }],
  ])("refuses spans with %s", (_what, change) => {
    expect(faultsOf("traces", spans(change))).not.toEqual([]);
  });
});
