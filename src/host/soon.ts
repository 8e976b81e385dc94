import { openRedactor } from "../system/redaction-sources.ts";
import { loadConfig } from "./load-config.ts";
import { startTelemetry } from "./telemetry.ts";

/** What each session loads when it has been open for a moment, teams or no teams: the less, the better. */
export const SOON = { loadConfig, openRedactor, startTelemetry };
