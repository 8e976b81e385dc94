import { UserError } from "../system/errors.ts";

/** Of an id's begin or end, so many characters name a run: what a finger slips to must name none. */
const PART_CHARS_MIN = 4;
const LISTED_MAX = 5;

/**
 * The one of `ids`, the newest first, that is, begins or ends with `text`; `latest` and nothing are the newest. Throws a
 * UserError otherwise.
 */
export function runNamed(ids: readonly string[], text: string): string {
  const [newest] = ids;
  if (newest === undefined)
    throw new UserError("no-runs", 'There is no run yet. Start one with /team-run <team> "<goal>".');
  if (text === "" || text === "latest") return newest;
  if (ids.includes(text)) return text;
  const found = ids.filter((id) => text.length >= PART_CHARS_MIN && (id.startsWith(text) || id.endsWith(text)));
  const [only, another] = found;
  if (only !== undefined && another === undefined) return only;
  const what = found.length > 1 ? "More than one run is" : "No run is";
  const listed = (found.length > 1 ? found : ids).slice(0, LISTED_MAX).join(", ");
  throw new UserError(
    "unknown-run",
    `${what} called ${JSON.stringify(text.slice(0, 80))}. Use one of ${listed}, or "latest"; the last ${PART_CHARS_MIN} characters do.`,
  );
}
