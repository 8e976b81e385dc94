import { createCorrelation } from "../events/correlation.ts";
import { createLocalBus } from "../events/local-bus.ts";
import { messageOf, UserError } from "../system/errors.ts";
import { nodeFiles } from "../system/node-files.ts";
import { openRedactor } from "../system/redaction-sources.ts";
import { ENV } from "./config.ts";
import { loadConfig } from "./load-config.ts";
import { openRuns } from "./open-runs.ts";
import { openWorld } from "./open-world.ts";
import { takingOver } from "./resumption.ts";
import type { RunsHome } from "./runs-home.ts";
import type { SupervisorMessage, SupervisorOrder } from "./supervisor-order.ts";

/** Drives one background run to its end, with the parts a session drives its own with. Called once, by `supervisor.mjs`. */
export function main(order: SupervisorOrder): void {
  const correlation = createCorrelation();
  const masking = openRedactor({ files: nodeFiles(), env: ENV, agentDir: order.agentDir });
  const redactor = () => masking;
  const world = openWorld(order.agentDir, correlation, redactor);
  const bus = createLocalBus((error, channel) =>
    world.log.warn("a subscriber of the bus threw", { channel, error: messageOf(error) }),
  );
  const { sessionId: id, cwd, agentDir, host } = order;
  const home: RunsHome = {
    id,
    cwd,
    agentDir,
    world,
    bus,
    correlation,
    hostFacts: async () => host,
    redactor,
    // the answer comes as a message, whenever a user gives it
    canAsk: true,
    // the session that follows the run shows what its log tells
    show: () => undefined,
  };
  const failed = (error: unknown) => {
    world.log.error("the process of a background run failed", { runId: order.runId, error: messageOf(error) });
    tell({ type: "refused", message: messageOf(error) });
    void world.close().finally(() => process.exit(1));
  };
  process.on("SIGHUP", () => undefined); // the terminal may go, the run stays
  process.on("uncaughtException", failed);
  process.on("unhandledRejection", failed);
  supervise(home, order)
    .then(() => Promise.all([world.files.remove(order.outputFile), world.close()]))
    .then(() => process.exit(0), failed);
}

async function supervise(home: RunsHome, { runId, resumption }: SupervisorOrder): Promise<void> {
  const { world, cwd, agentDir } = home;
  const { config } = await loadConfig(world.files, agentDir, cwd);
  const { runs, dispose } = await openRuns(home, config);
  try {
    const active = await runs.takeOver(runId, takingOver(world, runs.store.crewRoot, resumption));
    if (!active) throw new UserError("claimed-elsewhere", `Another process drives run ${runId}.`);
    const release = () => void runs.release("its process was asked to end");
    process.on("SIGTERM", release);
    process.on("SIGINT", release);
    tell({ type: "driving" });
    await active.done;
  } finally {
    await dispose();
  }
}

/** Quiet when nobody listens any more. */
function tell(message: SupervisorMessage): void {
  if (process.connected) process.send?.(message, undefined, undefined, () => undefined);
}
