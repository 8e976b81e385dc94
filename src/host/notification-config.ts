import { type Static, Type } from "@sinclair/typebox";

/** The section `notifications` of the configuration file. */
export const NOTIFICATIONS_SCHEMA = Type.Object({
  minSeverity: Type.Union([Type.Literal("info"), Type.Literal("warning"), Type.Literal("error")], {
    default: "info",
    description: "What is less severe is neither shown nor kept: info, warning or error.",
  }),
  dedupMs: Type.Integer({
    default: 30_000,
    minimum: 0,
    maximum: 86_400_000,
    description: "Milliseconds in which a notice with the same id is not repeated.",
  }),
  quietHours: Type.String({
    default: "",
    pattern: "^$|^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$",
    description: 'Local time, such as "22:00-07:00", in which infos and warnings wait for the end; empty for none.',
  }),
  burstMax: Type.Integer({
    default: 5,
    minimum: 1,
    maximum: 100,
    description: "Notices shown one by one within 5 seconds; more are put together into one.",
  }),
  file: Type.Boolean({
    default: true,
    description: "Keep notices in state/notifications/ of the project, one file a day.",
  }),
  command: Type.Array(Type.String({ minLength: 1 }), {
    default: [],
    maxItems: 32,
    description: "A program with its arguments, run without a shell for each notice, whose text comes last. User only.",
  }),
  webhookUrl: Type.String({
    default: "",
    pattern: "^$|^https://|^http://(localhost|127(\\.[0-9]{1,3}){3}|\\[::1\\])(:[0-9]+)?(/|$)",
    description: "Where each notice is posted as JSON: https, or http on this machine. User only.",
  }),
});

export type NotificationConfig = Static<typeof NOTIFICATIONS_SCHEMA>;

/** What runs a program or sends data out: a project's own file can't set it. */
export const NOTIFICATIONS_USER_ONLY: readonly (keyof NotificationConfig)[] = ["command", "webhookUrl"];
