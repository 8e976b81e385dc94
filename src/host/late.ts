import { loadCatalog } from "../catalog/load-catalog.ts";
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
import { openRuns } from "./open-runs.ts";
import { Recovery } from "./recovery.ts";
import { actOnTeam } from "./team-actions.ts";

/** All that a session needs only when something is done. In one piece: with an import for each, no start is faster. */
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
  messageCommand,
  metricsCommand,
  openRuns,
  pruneCommand,
  Recovery,
  redriveCommand,
  resumeCommand,
  runCommand,
  settingsCommand,
  statusCommand,
};
