import { messageOf } from "../system/errors.ts";
import { renderRunBrief } from "../views/run-summary.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";

/** A footer line while the run is under way; nothing after. */
export function showProgress(session: Session, active: ActiveRun): void {
  const { runId } = active.run.manifest;
  const key = `foreman-${runId}`;
  const draw = () => session.context?.ui.setStatus(key, renderRunBrief(active.run.state, session.world.clock.now()));
  const following = session.feed().follow(runId, draw);
  draw();
  active.done
    .then(() => {
      following[Symbol.dispose]();
      session.context?.ui.setStatus(key, undefined);
    })
    .catch((error: unknown) => session.world.log.warn("a footer line was left behind", { error: messageOf(error) }));
}
