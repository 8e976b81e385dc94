import { messageOf } from "../system/errors.ts";
import { renderRunBrief } from "../views/run-summary.ts";
import type { Session } from "./session.ts";
import type { ShownRun } from "./shown-run.ts";

/** A footer line while the run is under way; nothing after. */
export function showProgress(session: Session, active: ShownRun): void {
  const { runId } = active.run.manifest;
  const key = `foreman-${runId}`;
  const draw = () => {
    const brief = renderRunBrief(active.run.state, session.world.clock.now());
    session.context?.ui.setStatus(key, active.paused ? `${brief} · paused` : brief);
  };
  const following = session.feed().follow(runId, draw);
  draw();
  active.done
    .then(() => {
      following[Symbol.dispose]();
      session.context?.ui.setStatus(key, undefined);
    })
    .catch((error: unknown) => session.world.log.warn("a footer line was left behind", { error: messageOf(error) }));
}
