import type { Config } from "./config-schema.ts";
import { NotificationRouter } from "./notification-router.ts";
import { notificationSinks } from "./notification-sinks.ts";
import { parseQuietHours } from "./quiet-hours.ts";
import type { RunService } from "./run-service.ts";
import type { RunsHome } from "./runs-home.ts";

/** What the user is told beside the work, by the configuration in force; told once more as an event of its run. */
export function createNotifier(
  home: RunsHome,
  config: Config["notifications"],
  runs: RunService,
  redact: (text: string) => string,
): NotificationRouter {
  const { world, cwd } = home;
  const sinks = notificationSinks(config, {
    world,
    crewRoot: runs.store.crewRoot,
    cwd,
    show: (text, severity) => home.show(text, severity),
  });
  return new NotificationRouter({
    clock: world.clock,
    log: world.log,
    ...sinks,
    minSeverity: config.minSeverity,
    dedupMs: config.dedupMs,
    burstMax: config.burstMax,
    quietHours: parseQuietHours(config.quietHours),
    redact,
    onSent: ({ id, severity, source, message, runId }) => {
      const active = runs.active.find(({ run }) => run.manifest.runId === runId);
      // a background run's process has nobody to show it to: with the text in the log, its session can
      const event = { type: "crew.notification.sent" as const, id, severity, source, message };
      active?.run.publisher.publish(event).catch(() => undefined);
    },
  });
}
