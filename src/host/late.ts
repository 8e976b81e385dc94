import { loadCatalog } from "../catalog/load-catalog.ts";
import { deadLettersCommand } from "./command-deadletters.ts";
import { doctorCommand } from "./command-doctor.ts";
import { metricsCommand } from "./command-metrics.ts";
import { pruneCommand } from "./command-prune.ts";
import { redriveCommand, resumeCommand } from "./command-resume.ts";
import { runCommand } from "./command-run.ts";
import { cancelCommand, statusCommand } from "./command-status.ts";
import { takeOverReleased } from "./hand-over.ts";
import { loadConfig } from "./load-config.ts";
import { openRuns } from "./open-runs.ts";
import { recoverRuns } from "./recover-runs.ts";
import { actOnTeam } from "./team-actions.ts";

/**
 * All that a session needs only when something is done. In one piece and imported once: the host's loader hands out
 * half-filled modules when two imports of the same files are under way at the same time.
 */
export const LATE = {
  actOnTeam,
  cancelCommand,
  deadLettersCommand,
  doctorCommand,
  loadCatalog,
  loadConfig,
  metricsCommand,
  openRuns,
  pruneCommand,
  recoverRuns,
  redriveCommand,
  resumeCommand,
  runCommand,
  statusCommand,
  takeOverReleased,
};
