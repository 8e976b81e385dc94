import type { Config } from "./config-schema.ts";
import { NotificationRouter } from "./notification-router.ts";
import { notificationSinks } from "./notification-sinks.ts";
import { parseQuietHours } from "./quiet-hours.ts";
import type { RunService } from "./run-service.ts";
import type { Session } from "./session.ts";

/** What the user is told beside the work, by the configuration in force; told once more as an event of its run. */
export function createNotifier(
  session: Session,
  config: Config["notifications"],
  runs: RunService,
  redact: (text: string) => string,
): NotificationRouter {
  const { world, cwd } = session;
  const sinks = notificationSinks(config, {
    world,
    crewRoot: runs.store.crewRoot,
    cwd,
    show: (text, severity) => session.context?.ui.notify(text, severity),
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
    onSent: ({ id, severity, source, runId }) => {
      const active = runs.active.find(({ run }) => run.manifest.runId === runId);
      active?.run.publisher.publish({ type: "crew.notification.sent", id, severity, source }).catch(() => undefined);
    },
  });
}
