import { type Static, Type } from "@sinclair/typebox";
import { NOTIFICATIONS_SCHEMA } from "./notification-config.ts";
import { HTTP_SCHEMA, OTLP_SCHEMA, TELEMETRY_SCHEMA } from "./telemetry-config.ts";

const RETRY_POLICY_SCHEMA = Type.Object({
  maxAttempts: Type.Integer({ default: 3, minimum: 1, maximum: 10, description: "Attempts, the first included." }),
  backoffMs: Type.Integer({ default: 1000, minimum: 100, maximum: 60_000, description: "Before the second attempt." }),
  jitterRatio: Type.Number({ default: 0.3, minimum: 0, maximum: 1, description: "Random part of a delay." }),
  exponentialFactor: Type.Number({ default: 2, minimum: 1, maximum: 5, description: "Growth of the delay." }),
  maxDelayMs: Type.Integer({ default: 300_000, minimum: 100, maximum: 86_400_000, description: "The longest delay." }),
  retryableErrors: Type.Array(Type.String(), {
    default: [],
    description: "When given, only errors whose kind or message fits one of these globs are retried.",
  }),
});

/** Milliseconds of silence from which on a level holds; each must be longer than the one before. */
const HEARTBEAT_SCHEMA = Type.Object({
  warnMs: Type.Integer({ default: 30_000, minimum: 1000, maximum: 86_400_000, description: "Silence to be noted." }),
  staleMs: Type.Integer({
    default: 60_000,
    minimum: 1000,
    maximum: 86_400_000,
    description: "Silence to worry about.",
  }),
  deadMs: Type.Integer({
    default: 300_000,
    minimum: 1000,
    maximum: 86_400_000,
    description: "Silence after which a worker whose process can't be proved to live is given up.",
  }),
});

/** The configuration file's form: all optional to write, all present once read. */
export const CONFIG_SCHEMA = Type.Object({
  observability: Type.Object({
    enabled: Type.Boolean({ default: true, description: "Count what happens in this session." }),
    pollIntervalMs: Type.Integer({
      default: 5000,
      minimum: 1000,
      maximum: 60_000,
      description: "How often workers' heartbeats are looked at.",
    }),
    metricRetentionDays: Type.Integer({
      default: 7,
      minimum: 1,
      maximum: 3650,
      description: "Days whose files in state/metrics/ are kept.",
    }),
    buckets: Type.Record(Type.String(), Type.Array(Type.Number()), {
      default: {},
      description:
        "Upper bounds of a histogram's buckets, by its name: ascending, in the metric's unit; [] for its own.",
    }),
  }),
  telemetry: TELEMETRY_SCHEMA,
  otlp: OTLP_SCHEMA,
  http: HTTP_SCHEMA,
  limits: Type.Object({
    maxParallelAttempts: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 64,
      description:
        "Workers that may be busy at once, over all runs of a session; a background run has as many of its own.",
    }),
    attemptTimeoutSec: Type.Integer({
      default: 1800,
      minimum: 1,
      maximum: 86_400,
      description: "Seconds an attempt may take when its step sets no limit of its own.",
    }),
    maxCostUsd: Type.Number({ default: 0, minimum: 0, maximum: 1_000_000, description: "Per run; 0 means no limit." }),
    maxTokens: Type.Integer({ default: 0, minimum: 0, maximum: 1e12, description: "Per run; 0 means no limit." }),
    maxDurationMs: Type.Integer({ default: 0, minimum: 0, maximum: 1e10, description: "Per run; 0 means no limit." }),
  }),
  reliability: Type.Object({
    autoRetry: Type.Boolean({ default: false, description: "Try a failed attempt again when it may help." }),
    retryPolicy: RETRY_POLICY_SCHEMA,
    heartbeat: HEARTBEAT_SCHEMA,
    onQuit: Type.Union([Type.Literal("finish"), Type.Literal("stop")], {
      default: "finish",
      description:
        "At quit: finish lets workers end what they are at, and the run goes on next time; stop cancels the session's runs.",
    }),
    autoRecover: Type.Boolean({ default: false, description: "Ask at start whether interrupted runs shall go on." }),
    deadletterThreshold: Type.Integer({
      default: 3,
      minimum: 1,
      maximum: 1000,
      description: "More dead letters than this in an hour raise an alert.",
    }),
  }),
  notifications: NOTIFICATIONS_SCHEMA,
  engine: Type.Literal("local", { default: "local", description: "Where attempts run: on this machine." }),
});

export type Config = Static<typeof CONFIG_SCHEMA>;
