import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readOtlpEnvironment } from "../../src/export/otlp-environment.ts";

function urls(env: Record<string, string>, configured = {}) {
  const { settings, problems } = readOtlpEnvironment(env, configured);
  return { metrics: settings?.metrics?.url.href, traces: settings?.traces?.url.href, problems };
}

describe("the environment of an OTLP exporter", () => {
  it("that is empty means the collector of this machine, once a minute", () => {
    const { settings, problems } = readOtlpEnvironment({});
    expect(problems).toEqual([]);
    expect(settings).toMatchObject({
      metrics: { headers: {}, timeoutMs: 10_000, gzip: false },
      intervalMs: 60_000,
      serviceName: null,
      resourceAttributes: {},
    });
    expect(urls({})).toMatchObject({
      metrics: "http://localhost:4318/v1/metrics",
      traces: "http://localhost:4318/v1/traces",
    });
  });

  it.each([
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:1" }, "http://c:1/v1/metrics", "http://c:1/v1/traces"],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "https://c/base/?k=v" },
      "https://c/base/v1/metrics?k=v",
      "https://c/base/v1/traces?k=v",
    ],
    [
      { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://m/as/it/is/" },
      "http://m/as/it/is/",
      "http://configured/v1/traces",
    ],
    [
      { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: " http://t ", OTEL_EXPORTER_OTLP_ENDPOINT: "http://c" },
      "http://c/v1/metrics",
      "http://t/",
    ],
    [{ OTEL_EXPORTER_OTLP_ENDPOINT: "" }, "http://configured/v1/metrics", "http://configured/v1/traces"],
  ])("%j says where to", (env, metrics, traces) => {
    expect(urls(env, { endpoint: "http://configured" })).toEqual({ metrics, traces, problems: [] });
  });

  it("can be read whole, and wins over the configuration", () => {
    const env = {
      OTEL_EXPORTER_OTLP_HEADERS: "Authorization=Basic%20abc%3D, x-a = b=c ,",
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "x-t=1",
      OTEL_EXPORTER_OTLP_TIMEOUT: "500",
      OTEL_EXPORTER_OTLP_TRACES_TIMEOUT: "700",
      OTEL_EXPORTER_OTLP_COMPRESSION: "gzip",
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_METRIC_EXPORT_INTERVAL: "15000",
      OTEL_SERVICE_NAME: "mine",
      OTEL_RESOURCE_ATTRIBUTES: "a=1,b.c=x%2Cy%3Dz",
    };
    const { settings, problems } = readOtlpEnvironment(env, { headers: { configured: "1" }, intervalMs: 9000 });
    expect(problems).toEqual([]);
    expect(settings).toMatchObject({
      metrics: { headers: { authorization: "Basic abc=", "x-a": "b=c" }, timeoutMs: 500, gzip: true },
      traces: { headers: { "x-t": "1" }, timeoutMs: 700 },
      intervalMs: 15_000,
      serviceName: "mine",
      resourceAttributes: { a: "1", "b.c": "x,y=z" },
    });
    expect(settings?.metrics?.headers).not.toHaveProperty("configured");
    const configured = readOtlpEnvironment({}, { headers: { Configured: "1" }, intervalMs: 9000 }).settings;
    expect(configured).toMatchObject({ metrics: { headers: { configured: "1" } }, intervalMs: 9000 });
    expect(readOtlpEnvironment({}, { intervalMs: 10 }).settings?.intervalMs).toBe(5000);
  });

  it("turns it all off with OTEL_SDK_DISABLED, and says so", () => {
    expect(readOtlpEnvironment({ OTEL_SDK_DISABLED: " TRUE ", OTEL_EXPORTER_OTLP_TIMEOUT: "x" })).toEqual({
      settings: null,
      problems: ["OTEL_SDK_DISABLED is true: nothing is sent by OTLP; unset it to send."],
    });
    expect(readOtlpEnvironment({ OTEL_SDK_DISABLED: "1" }).settings).not.toBeNull();
  });

  it("sends no signal whose exporter is none, and says so", () => {
    const [METRICS, TRACES] = ["OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER"];
    const sent = (env: Record<string, string>) => urls({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://c", ...env });
    const [metrics, traces] = ["http://c/v1/metrics", "http://c/v1/traces"];
    const noMetrics = 'OTEL_METRICS_EXPORTER is "none": no metrics are sent by OTLP; set it to otlp to send them.';
    const noTraces = (given: string) =>
      `OTEL_TRACES_EXPORTER is "${given}": no traces are sent by OTLP; set it to otlp to send them.`;
    expect(sent({ [METRICS]: "none" })).toEqual({ metrics: undefined, traces, problems: [noMetrics] });
    expect(sent({ [TRACES]: " None " })).toEqual({ metrics, traces: undefined, problems: [noTraces("None")] });
    expect(readOtlpEnvironment({ [METRICS]: "none", [TRACES]: "none" })).toEqual({
      settings: null,
      problems: [noMetrics, noTraces("none")],
    });
    expect(sent({ [METRICS]: "otlp", [TRACES]: "console,otlp" })).toEqual({ metrics, traces, problems: [] });
    const problems = ['OTEL_METRICS_EXPORTER is "prometheus"; it must be otlp or none, and otlp is used.'];
    expect(sent({ [METRICS]: "prometheus" })).toEqual({ metrics, traces, problems });
  });

  it("takes the delay between two pushes of spans", () => {
    expect(readOtlpEnvironment({}, { intervalMs: 300_000 }).settings).toMatchObject({ traceIntervalMs: 5000 });
    const { settings } = readOtlpEnvironment({ OTEL_BSP_SCHEDULE_DELAY: "700" });
    expect(settings).toMatchObject({ intervalMs: 60_000, traceIntervalMs: 700 });
  });

  it("leaves alone what is as usual", () => {
    const env = {
      OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "Cumulative",
      OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION: "explicit_bucket_histogram",
    };
    expect(readOtlpEnvironment(env).problems).toEqual([]);
    const others = { ...env, OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta" };
    expect(readOtlpEnvironment({ ...others, OTEL_METRICS_EXPORTER: "none" }).problems).toEqual([
      expect.stringMatching(/^OTEL_METRICS_EXPORTER is "none"/),
    ]);
  });

  it.each([
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "collector:4318" },
      "OTEL_EXPORTER_OTLP_ENDPOINT can't be used: it must begin with http:// or https://, as in http://localhost:4318; nothing is sent instead.",
    ],
    [
      { OTEL_EXPORTER_OTLP_ENDPOINT: "http:collector:4318" },
      "OTEL_EXPORTER_OTLP_ENDPOINT can't be used: it must begin with http:// or https://, as in http://localhost:4318; nothing is sent instead.",
    ],
    [
      { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc", and pi-foreman only speaks http/json: no metrics are sent; set it to http/json.',
    ],
  ])("%j is told, and nothing is sent", (env, problem) => {
    const { settings, problems } = readOtlpEnvironment(env);
    expect([settings, problems[0]]).toEqual([null, problem]);
  });

  it("that names no address for one signal sends this one nowhere, whatever the others say", () => {
    const env = { OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "m:4318", OTEL_EXPORTER_OTLP_ENDPOINT: "http://c" };
    expect(urls(env, { endpoint: "http://configured" })).toEqual({
      metrics: undefined,
      traces: "http://c/v1/traces",
      problems: [
        expect.stringMatching(/^OTEL_EXPORTER_OTLP_METRICS_ENDPOINT can't be used: .* nothing is sent instead/),
      ],
    });
  });

  it("is told in docs/configuration.md, variable by variable", () => {
    const asked = new Set<string>();
    const env = new Proxy<Record<string, string>>({}, { get: (_of, name) => void asked.add(String(name)) });
    readOtlpEnvironment(env);
    const text = readFileSync(join(import.meta.dirname, "../../docs/configuration.md"), "utf8");
    const told = new Set([...text.matchAll(/`(\w+)`/g)].map((match) => match[1] ?? ""));
    // endings stand by themselves, and for each signal too
    const forms = (name: string) => {
      const [, signal = "", ending = ""] = /^OTEL_EXPORTER_OTLP(_METRICS|_TRACES)?(_\w+)$/.exec(name) ?? [];
      return [name, ending, signal + ending, `OTEL_EXPORTER_OTLP${ending}`];
    };
    expect([...asked].filter((name) => !forms(name).some((form) => told.has(form)))).toEqual([]);
    expect(asked.size).toBeGreaterThan(20);
  });

  it.each([
    [
      { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: "http/protobuf" },
      'OTEL_EXPORTER_OTLP_METRICS_PROTOCOL is "http/protobuf", and pi-foreman only speaks http/json: metrics are sent as http/json.',
    ],
    [
      { OTEL_METRIC_EXPORT_INTERVAL: "100" },
      'OTEL_METRIC_EXPORT_INTERVAL is "100"; it must be a whole number of milliseconds from 5000 to 86400000, and 5000 is used.',
    ],
    [
      { OTEL_EXPORTER_OTLP_TIMEOUT: "10s" },
      'OTEL_EXPORTER_OTLP_TIMEOUT is "10s"; it must be a whole number of milliseconds from 1 to 86400000, and 10000 is used.',
    ],
    [
      { OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" },
      'OTEL_EXPORTER_OTLP_COMPRESSION is "zstd"; it must be gzip or none, and none is used.',
    ],
    [
      { OTEL_BSP_SCHEDULE_DELAY: "soon" },
      'OTEL_BSP_SCHEDULE_DELAY is "soon"; it must be a whole number of milliseconds from 100 to 86400000, and 5000 is used.',
    ],
    [
      { OTEL_EXPORTER_OTLP_CERTIFICATE: "/etc/ca.pem" },
      "OTEL_EXPORTER_OTLP_CERTIFICATE is not used: name the file in NODE_EXTRA_CA_CERTS instead.",
    ],
    [
      { OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY: "/etc/key.pem" },
      "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY is not used: pi-foreman has no client certificates; send to a local collector that has.",
    ],
    [
      { OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: "/etc/cert.pem" },
      "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not used: pi-foreman has no client certificates; send to a local collector that has.",
    ],
    [
      { OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta" },
      'OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE is "delta"; pi-foreman only sends cumulative, and that is used.',
    ],
    [
      { OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION: "base2_exponential_bucket_histogram" },
      'OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION is "base2_exponential_bucket_histogram"; pi-foreman only sends explicit_bucket_histogram, and that is used.',
    ],
    [
      { OTEL_RESOURCE_ATTRIBUTES: "a=1,b" },
      "OTEL_RESOURCE_ATTRIBUTES is not used: it must be a list such as key1=value1,key2=value2, percent-encoded.",
    ],
    [
      { OTEL_EXPORTER_OTLP_HEADERS: "a=secret%0d%0aevil: 1" },
      `OTEL_EXPORTER_OTLP_HEADERS: "a" can't be a header with that value; it is left out.`,
    ],
    [
      { OTEL_EXPORTER_OTLP_HEADERS: "a=%zz" },
      "OTEL_EXPORTER_OTLP_HEADERS is not used: it must be a list such as key1=value1,key2=value2, percent-encoded.",
    ],
  ])("%j is told once, and the rest is used", (env, problem) => {
    const { settings, problems } = readOtlpEnvironment(env);
    expect(problems).toEqual([problem]);
    expect(settings?.metrics?.headers).toEqual({});
  });

  it("is told without what may be secret", () => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: "ftp://user:password@host/token",
      OTEL_EXPORTER_OTLP_HEADERS: "a=secret\u0000",
      OTEL_EXPORTER_OTLP_TRACES_HEADERS: "=secret",
    };
    const { problems } = readOtlpEnvironment({
      ...env,
      OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: "http://m",
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://t",
    });
    expect(problems).toHaveLength(2);
    expect(problems.concat(urls(env).problems).join()).not.toMatch(/secret|password|token/);
  });
});
