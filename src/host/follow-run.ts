import { CREW_EVENT_TYPES, type CrewEvent } from "../events/crew-event.ts";
import type { Session } from "./session.ts";

const REDRAW_MS = 500;
const CLOCK_MS = 1000;

/** Calls `redraw` when something happened in the run, at most twice a second, and each second for its clock. Dispose to stop. */
export function followRun(session: Session, runId: string, redraw: () => void): Disposable {
  let timer: Disposable | null = null;
  const onEvent = (data: unknown) => {
    if ((data as Partial<CrewEvent>).runId !== runId || timer) return;
    timer = session.world.clock.after(REDRAW_MS, () => {
      timer = null;
      redraw();
    });
  };
  const unsubscribes = CREW_EVENT_TYPES.map((type) => session.bus.on(type, onEvent));
  const seconds = session.world.clock.every(CLOCK_MS, redraw);
  return {
    [Symbol.dispose]: () => {
      seconds[Symbol.dispose]();
      for (const unsubscribe of unsubscribes) unsubscribe();
      timer?.[Symbol.dispose]();
    },
  };
}
