import { expect, it } from "vitest";
import { metricsRoute } from "../../src/export/metrics-route.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";

const OPEN = "application/openmetrics-text";
/** What Prometheus 2.42 and 3.5 send. */
const PROMETHEUS_2 = `${OPEN};version=1.0.0,${OPEN};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1`;
const PROMETHEUS_3 = `${OPEN};version=1.0.0;escaping=allow-utf-8;q=0.6,${OPEN};version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2`;

it.each([
  ["", "text"],
  ["*/*", "text"],
  ["text/html,application/xhtml+xml,*/*;q=0.8", "text"],
  ["application/json", "text"],
  ["text/plain", "text"],
  [OPEN, "openmetrics"],
  [`${OPEN}; version="1.0.0"; charset=utf-8`, "openmetrics"],
  [OPEN.toUpperCase(), "openmetrics"],
  [`text/plain, ${OPEN}`, "openmetrics"],
  [`text/plain;q=0.5, ${OPEN};q=0.4`, "text"],
  [`${OPEN};q=0.4,*/*;q=0.1`, "openmetrics"],
  [`${OPEN};q=0.4,text/*;q=0.5,*/*;q=0.1`, "text"],
  [`${OPEN};q=0.4,text/plain;q=0.1,*/*`, "openmetrics"],
  [`${OPEN};q=0`, "text"],
  [`${OPEN};q=much`, "text"],
  [`${OPEN};version=0.0.1`, "text"],
  [`${OPEN};version=2.0.0,text/plain;q=0.1`, "text"],
  [PROMETHEUS_2, "openmetrics"],
  [PROMETHEUS_3, "openmetrics"],
  [",;;=,q=", "text"],
])("who accepts '%s' gets %s", async (accept, format) => {
  const registry = createMetricRegistry();
  registry.registerGauge("crew.a.active", "h");
  const handler = metricsRoute(() => registry.snapshot());
  const reply = await handler({ path: "/metrics", params: {}, query: new URLSearchParams(), accept });
  const types = {
    text: "text/plain; version=0.0.4; charset=utf-8",
    openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  };
  expect(reply).toMatchObject({ status: 200, type: types[format as "text"] });
  expect(String(reply.body).endsWith("# EOF\n")).toBe(format === "openmetrics");
});
