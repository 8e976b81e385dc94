import { renderRunBrief } from "../views/run-summary.ts";
import { followRun } from "./follow-run.ts";
import type { ActiveRun } from "./run-service.ts";
import type { Session } from "./session.ts";

/** A footer line while the run is under way; nothing after. */
export function showProgress(session: Session, active: ActiveRun): void {
  const key = `foreman-${active.run.manifest.runId}`;
  const draw = () => session.context?.ui.setStatus(key, renderRunBrief(active.run.state, session.world.clock.now()));
  const following = followRun(session, active.run.manifest.runId, draw);
  session.defer(() => following[Symbol.dispose]());
  draw();
  void active.done.then(() => {
    following[Symbol.dispose]();
    session.context?.ui.setStatus(key, undefined);
  });
}
