import type { MetricsSnapshot } from "../metrics/snapshot.ts";
import { Exposition, type ExpositionFormat } from "./exposition.ts";
import type { HttpHandler } from "./http-routes.ts";

const OPENMETRICS = "application/openmetrics-text";
const CONTENT_TYPES: Readonly<Record<ExpositionFormat, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: `${OPENMETRICS}; version=1.0.0; charset=utf-8`,
};

/** Answers a scrape with what `read` gives, in the format the client prefers. `read` must be of one registry. */
export function metricsRoute(read: () => MetricsSnapshot | Promise<MetricsSnapshot>): HttpHandler {
  const expositions = { text: new Exposition("text"), openmetrics: new Exposition("openmetrics") };
  return async ({ accept }) => {
    const format = preferredFormat(accept);
    return { status: 200, type: CONTENT_TYPES[format], body: expositions[format].render(await read()) };
  };
}

/**
 * What an `Accept` header asks for. OpenMetrics must be named, in version 1.0.0 or none, and be wanted as much as
 * text or more. Everything else gets text, as from other Prometheus clients: there is nothing better to offer.
 */
function preferredFormat(accept: string): ExpositionFormat {
  const ranges = accept.split(",").map(rangeOf);
  const quality = (types: readonly string[]) =>
    types
      .map((type) => Math.max(...ranges.filter((range) => range.type === type).map((range) => range.quality)))
      .find((found) => found >= 0) ?? 0;
  const open = quality([OPENMETRICS]);
  return open > 0 && open >= quality(["text/plain", "text/*", "*/*"]) ? "openmetrics" : "text";
}

/** A type in a version we do not write is no type at all; a quality that can't be read is none. */
function rangeOf(range: string): { type: string; quality: number } {
  const [type = "", ...rest] = range.split(";").map((part) => part.trim().toLowerCase());
  const parameters = new Map(rest.map((part) => part.replaceAll('"', "").split("=", 2) as [string, string]));
  const isWritten = type !== OPENMETRICS || (parameters.get("version") ?? "1.0.0") === "1.0.0";
  const quality = Number(parameters.get("q") ?? 1);
  return { type: isWritten ? type : "", quality: quality >= 0 && quality <= 1 ? quality : 0 };
}
