import { isDegraded, type LogHealth } from "../store/run-log-reader.ts";
import { counted } from "./units.ts";

/** What is amiss in a run's log, as words that follow "its log"; null when nothing is. */
export function logNote(health: LogHealth): string | null {
  const { bad, missing, newer, torn } = health;
  const lost = [
    bad > 0 ? counted(bad, "damaged line") : "",
    missing > 0 ? counted(missing, "missing event") : "",
    newer ? "lines of a later version of pi-foreman" : "",
  ].filter(Boolean);
  const cut = torn > 0 ? `${counted(torn, "line")} cut off within the writing` : "";
  if (!isDegraded(health)) return cut === "" ? null : `has ${cut}, which costs nothing: nobody had acted on it`;
  return `is unreadable in part: ${[...lost, cut].filter(Boolean).join(", ")}`;
}
