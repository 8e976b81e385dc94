import { Type } from "@sinclair/typebox";

/** The sections of the configuration file about where metrics go. */

export const TELEMETRY_SCHEMA = Type.Object({
  enabled: Type.Boolean({
    default: true,
    description: "Keep the session's metrics in state/metrics/ of the project, one file a day.",
  }),
  textfile: Type.String({
    default: "",
    description:
      "A file ending in .prom, written each minute for Prometheus' textfile collector; empty for none. User only.",
  }),
});

export const OTLP_SCHEMA = Type.Object({
  enabled: Type.Boolean({
    default: false,
    description: "Send metrics and traces to an OpenTelemetry collector. User only.",
  }),
  endpoint: Type.String({
    default: "",
    pattern: "^$|^[hH][tT][tT][pP][sS]?://",
    // editors show it, too
    patternErrorMessage: "it must begin with http:// or https://",
    description: "Base address; empty for OTEL_EXPORTER_OTLP_ENDPOINT, or http://localhost:4318. User only.",
  }),
  headers: Type.Record(Type.String(), Type.String(), {
    default: {},
    description: "Sent with each request, such as an API key. User only.",
  }),
  intervalMs: Type.Integer({
    default: 60_000,
    minimum: 5000,
    maximum: 86_400_000,
    description: "Milliseconds between two pushes.",
  }),
});

export const HTTP_SCHEMA = Type.Object({
  port: Type.Integer({
    default: 9091,
    minimum: 0,
    maximum: 65_535,
    description: "Of /team-metrics --serve; 0 for any free one.",
  }),
  host: Type.String({
    default: "localhost",
    minLength: 1,
    description: "The name or address to listen on: localhost is this machine only. User only.",
  }),
});

/** What sends data out or opens a door: a project's own file can't set it. */
export const TELEMETRY_USER_ONLY: readonly string[] = [
  "telemetry.textfile",
  "otlp.enabled",
  "otlp.endpoint",
  "otlp.headers",
  "http.host",
];
