import { loadCatalog } from "../catalog/load-catalog.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import { BackgroundRuns } from "./background-runs.ts";
import { checkpointCommand } from "./command-checkpoint.ts";
import { dashboardCommand } from "./command-dashboard.ts";
import { deadLettersCommand } from "./command-deadletters.ts";
import { doctorCommand } from "./command-doctor.ts";
import { exportCommand } from "./command-export.ts";
import { initCommand } from "./command-init.ts";
import { messageCommand } from "./command-message.ts";
import { metricsCommand } from "./command-metrics.ts";
import { pruneCommand } from "./command-prune.ts";
import { redriveCommand, resumeCommand } from "./command-resume.ts";
import { runCommand } from "./command-run.ts";
import { settingsCommand } from "./command-settings.ts";
import { cancelCommand, statusCommand } from "./command-status.ts";
import { completions } from "./completions.ts";
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
  completions,
  checkpointCommand,
  dashboardCommand,
  deadLettersCommand,
  doctorCommand,
  exportCommand,
  initCommand,
  loadCatalog,
  loadConfig,
  messageCommand,
  metricsCommand,
  openRedactor,
  openRuns,
  pruneCommand,
  Recovery,
  redriveCommand,
  resumeCommand,
  runCommand,
  settingsCommand,
  startTelemetry,
  statusCommand,
};
