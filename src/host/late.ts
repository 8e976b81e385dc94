import { loadCatalog } from "../catalog/load-catalog.ts";
import { BackgroundRuns } from "./background-runs.ts";
import { deadLettersCommand } from "./command-deadletters.ts";
import { doctorCommand } from "./command-doctor.ts";
import { messageCommand } from "./command-message.ts";
import { metricsCommand } from "./command-metrics.ts";
import { pruneCommand } from "./command-prune.ts";
import { redriveCommand, resumeCommand } from "./command-resume.ts";
import { runCommand } from "./command-run.ts";
import { cancelCommand, statusCommand } from "./command-status.ts";
import { loadConfig } from "./load-config.ts";
import { openRuns } from "./open-runs.ts";
import { Recovery } from "./recovery.ts";
import { actOnTeam } from "./team-actions.ts";
import { startTelemetry } from "./telemetry.ts";

/**
 * All that a session needs only when something is done. In one piece and imported once: the host's loader hands out
 * half-filled modules when two imports of the same files are under way at the same time.
 */
export const LATE = {
  actOnTeam,
  BackgroundRuns,
  cancelCommand,
  deadLettersCommand,
  doctorCommand,
  loadCatalog,
  loadConfig,
  messageCommand,
  metricsCommand,
  openRuns,
  pruneCommand,
  Recovery,
  redriveCommand,
  resumeCommand,
  runCommand,
  startTelemetry,
  statusCommand,
};
