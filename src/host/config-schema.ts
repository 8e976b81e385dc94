import { type Static, Type } from "@sinclair/typebox";

/** The configuration file's form: two levels, all optional to write, all present once read. Spec section 11. */
export const CONFIG_SCHEMA = Type.Object({
  observability: Type.Object({
    enabled: Type.Boolean({ default: true, description: "Count what happens in this session." }),
  }),
  limits: Type.Object({
    maxParallelAttempts: Type.Integer({
      default: 4,
      minimum: 1,
      maximum: 64,
      description: "Workers of this session that may be busy at once, over all its runs.",
    }),
    attemptTimeoutSec: Type.Integer({
      default: 1800,
      minimum: 1,
      maximum: 86_400,
      description: "Seconds an attempt may take when its step sets no limit of its own.",
    }),
  }),
});

export type Config = Static<typeof CONFIG_SCHEMA>;
