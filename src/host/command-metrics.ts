import { renderMetricsTable } from "../views/metrics-table.ts";
import type { Command } from "./commands.ts";

/** `/team-metrics [glob]`: what this session counted. */
export const metricsCommand: Command = async ({ session, args, width }) => {
  const options = args === "" ? { width } : { width, glob: args };
  return renderMetricsTable(session.registry.snapshot(), options).join("\n");
};
