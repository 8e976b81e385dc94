import { readFileSync } from "node:fs";
import {
  createFileRegistry,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonValue,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

/**
 * Judges OTLP requests in JSON: a strict decoder made of the official definitions, and the rules of
 * https://opentelemetry.io/docs/specs/otlp/ that a decoder doesn't hold. Faults are sentences.
 */

const registry = createFileRegistry(
  fromBinary(FileDescriptorSetSchema, readFileSync(new URL("otlp.binpb", import.meta.url))),
);

export type Signal = "metrics" | "traces";

function requestOf(signal: Signal): DescMessage {
  const name = signal === "metrics" ? "metrics.v1.ExportMetricsServiceRequest" : "trace.v1.ExportTraceServiceRequest";
  const message = registry.getMessage(`opentelemetry.proto.collector.${name}`);
  if (!message) throw new Error(`the definitions have no ${name}`);
  return message;
}

/** In the wire format. Throws on what the official definitions don't allow. */
export function toProtobuf(signal: Signal, body: string): Uint8Array {
  const message = requestOf(signal);
  const json = JSON.parse(body, signal === "traces" ? idsAsBase64 : undefined) as JsonValue;
  return toBinary(message, fromJson(message, json, { ignoreUnknownFields: false, registry }));
}

/** OTLP has ids in hex, where protobuf's JSON has base64. */
function idsAsBase64(key: string, value: unknown): unknown {
  if (!["traceId", "spanId", "parentSpanId"].includes(key)) return value;
  return Buffer.from(String(value), "hex").toString("base64");
}

export function faultsOf(signal: Signal, body: string): string[] {
  try {
    toProtobuf(signal, body);
  } catch (error) {
    return [`not decoded: ${String(error)}`];
  }
  const request = JSON.parse(body) as OtlpRequest;
  const faults = keyFaults(request, "");
  const parts = signal === "metrics" ? (request.resourceMetrics ?? []) : (request.resourceSpans ?? []);
  if (parts.length === 0) faults.push("no resource");
  for (const part of parts) {
    faults.push(...attributeFaults("resource", part.resource.attributes));
    const names = part.resource.attributes.map(({ key }) => key);
    for (const needed of ["service.name", "service.version", "service.instance.id"])
      if (!names.includes(needed)) faults.push(`the resource has no ${needed}`);
    for (const scope of part.scopeMetrics ?? part.scopeSpans ?? []) {
      if (!scope.scope?.name || !scope.scope.version) faults.push("a scope needs name and version");
      faults.push(...metricListFaults(scope.metrics ?? []), ...spanListFaults(scope.spans ?? []));
    }
  }
  return faults;
}

export interface KeyValue {
  key: string;
  value: { stringValue?: string; intValue?: string; doubleValue?: number };
}

export interface Point {
  attributes?: KeyValue[];
  startTimeUnixNano?: string;
  timeUnixNano?: string;
  asInt?: string;
  asDouble?: number;
  count?: string;
  sum?: number;
  bucketCounts?: string[];
  explicitBounds?: number[];
}

export interface OtlpMetric {
  name: string;
  description: string;
  unit: string;
  sum?: { aggregationTemporality?: unknown; isMonotonic?: unknown; dataPoints: Point[] };
  gauge?: { dataPoints: Point[] };
  histogram?: { aggregationTemporality?: unknown; dataPoints: Point[] };
}

export interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: KeyValue[];
  status: { code?: number; message?: string };
}

interface Scoped {
  scope?: { name?: string; version?: string };
  metrics?: OtlpMetric[];
  spans?: OtlpSpan[];
}

interface OtlpRequest {
  resourceMetrics?: Part[];
  resourceSpans?: Part[];
}

interface Part {
  resource: { attributes: KeyValue[] };
  scopeMetrics?: Scoped[];
  scopeSpans?: Scoped[];
}

export function metricsIn(body: string): OtlpMetric[] {
  const { resourceMetrics = [] } = JSON.parse(body) as OtlpRequest;
  return resourceMetrics.flatMap((part) => (part.scopeMetrics ?? []).flatMap((scope) => scope.metrics ?? []));
}

export function spansIn(body: string): OtlpSpan[] {
  const { resourceSpans = [] } = JSON.parse(body) as OtlpRequest;
  return resourceSpans.flatMap((part) => (part.scopeSpans ?? []).flatMap((scope) => scope.spans ?? []));
}

/** An attribute list as an object; the values as they stand. */
export function attributesOf(list: readonly KeyValue[] = []): Record<string, string | number | undefined> {
  return Object.fromEntries(
    list.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue]),
  );
}

/** The decoder takes the names of the definitions too, and null for nothing; the specification does not. */
function keyFaults(value: unknown, at: string): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keyFaults(item, at));
  if (value === null) return [`${at} is null: the number was not finite`];
  if (typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, item]) => {
    const own = /^[a-z][a-zA-Z]*$/.test(key) ? [] : [`key ${at}.${key} is not lowerCamelCase`];
    return [...own, ...keyFaults(item, `${at}.${key}`)];
  });
}

function attributeFaults(what: string, list: readonly KeyValue[]): string[] {
  const keys = list.map(({ key }) => key);
  const faults = new Set(keys).size < keys.length ? [`${what}: an attribute is there twice`] : [];
  if (keys.includes("")) faults.push(`${what}: an attribute without a name`);
  if (list.some(({ value }) => Object.keys(value).length !== 1)) faults.push(`${what}: an attribute without one value`);
  return faults;
}

function metricListFaults(metrics: readonly OtlpMetric[]): string[] {
  const names = metrics.map(({ name }) => name);
  const twice = names.filter((name, at) => names.indexOf(name) !== at).map((name) => `${name} is there twice`);
  return [...twice, ...metrics.flatMap(metricFaults)];
}

function metricFaults(metric: OtlpMetric): string[] {
  const { name, sum, gauge, histogram } = metric;
  const kinds = [sum, gauge, histogram].filter((kind) => kind !== undefined);
  if (kinds.length !== 1 || !kinds[0]) return [`${name} needs one kind of data`];
  const faults: string[] = [];
  if (!gauge && ![1, 2].includes((sum ?? histogram)?.aggregationTemporality as number))
    faults.push(`${name} has no temporality`);
  if (sum && typeof sum.isMonotonic !== "boolean") faults.push(`${name} doesn't say whether it is monotonic`);
  const points = kinds[0].dataPoints;
  if (points.length === 0) faults.push(`${name} has no points`);
  const identities = points.map(({ attributes = [] }) =>
    JSON.stringify(attributes.map((it) => JSON.stringify(it)).sort()),
  );
  if (new Set(identities).size < points.length) faults.push(`${name} has a point twice`);
  for (const point of points) {
    faults.push(...attributeFaults(name, point.attributes ?? []), ...timeFaults(name, point, gauge === undefined));
    faults.push(...(histogram ? histogramFaults(name, point) : numberFaults(name, point, sum?.isMonotonic === true)));
  }
  return faults;
}

const DIGITS = /^(0|[1-9]\d*)$/;

function timeFaults(name: string, { timeUnixNano, startTimeUnixNano }: Point, needsStart: boolean): string[] {
  const isTime = (time: unknown) => typeof time === "string" && DIGITS.test(time) && BigInt(time) < 2n ** 64n;
  if (!isTime(timeUnixNano) || timeUnixNano === "0") return [`${name} has a point without a time`];
  if (!needsStart) return [];
  if (!isTime(startTimeUnixNano) || startTimeUnixNano === "0") return [`${name} has a point without a start`];
  return BigInt(startTimeUnixNano ?? 0) > BigInt(timeUnixNano ?? 0) ? [`${name} starts after its time`] : [];
}

function numberFaults(name: string, { asInt, asDouble }: Point, grows: boolean): string[] {
  if ((asInt === undefined) === (asDouble === undefined)) return [`${name} has a point without one number`];
  if (asInt !== undefined && !(typeof asInt === "string" && /^-?(0|[1-9]\d*)$/.test(asInt)))
    return [`${name} has an integer that is no decimal string`];
  return grows && Number(asInt ?? asDouble) < 0 ? [`${name} grows and is negative`] : [];
}

function histogramFaults(name: string, point: Point): string[] {
  const { count, sum, bucketCounts = [], explicitBounds = [] } = point;
  const faults: string[] = [];
  if (![count, ...bucketCounts].every((it) => typeof it === "string" && DIGITS.test(it)))
    return [`${name} has a count that is no decimal string`];
  if (bucketCounts.length !== explicitBounds.length + 1) faults.push(`${name} needs one count more than bounds`);
  const total = bucketCounts.reduce((all, it) => all + BigInt(it), 0n);
  if (total !== BigInt(count ?? -1)) faults.push(`${name}: the counts are not the count`);
  const ascending = explicitBounds.every(
    (bound, i) => Number.isFinite(bound) && (i === 0 || bound > explicitBounds[i - 1]!),
  );
  if (!ascending) faults.push(`${name}: the bounds do not ascend`);
  if (sum !== undefined && !Number.isFinite(sum)) faults.push(`${name}: the sum is no number`);
  return faults;
}

function spanListFaults(spans: readonly OtlpSpan[]): string[] {
  const ids = spans.map(({ spanId }) => spanId);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => `span ${id} is there twice`);
  return [...twice, ...spans.flatMap(spanFaults)];
}

function spanFaults(span: OtlpSpan): string[] {
  const faults = attributeFaults(span.name, span.attributes);
  const isId = (id: unknown, hex: number) => typeof id === "string" && new RegExp(`^(?!0+$)[0-9a-f]{${hex}}$`).test(id);
  if (!isId(span.traceId, 32) || !isId(span.spanId, 16)) faults.push(`${span.name} has a bad id`);
  if (span.parentSpanId !== undefined && !isId(span.parentSpanId, 16)) faults.push(`${span.name} has a bad parent`);
  if (span.name === "") faults.push("a span without a name");
  if (![1, 2, 3, 4, 5].includes(span.kind)) faults.push(`${span.name} has no kind`);
  const times = [span.startTimeUnixNano, span.endTimeUnixNano];
  if (!times.every((time) => typeof time === "string" && DIGITS.test(time))) faults.push(`${span.name} has a bad time`);
  else if (BigInt(span.startTimeUnixNano) > BigInt(span.endTimeUnixNano))
    faults.push(`${span.name} ends before it starts`);
  if (![undefined, 0, 1, 2].includes(span.status.code)) faults.push(`${span.name} has no such status`);
  if (span.status.message !== undefined && span.status.code !== 2)
    faults.push(`${span.name} has a message and no error`);
  return faults;
}
