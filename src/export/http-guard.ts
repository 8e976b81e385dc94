import type { IncomingMessage } from "node:http";

export interface Refusal {
  readonly status: number;
  readonly reason: string;
}

/** Only the names of this machine that no stranger's DNS can point to us. */
const LOOPBACK_NAMES = ["localhost", "127.0.0.1", "::1"];

/**
 * Why a request is not served, or null. A web page can make a browser send requests to this machine: under a name of
 * its own that leads here (DNS rebinding), which the `Host` header tells, or across origins, which `Origin` tells.
 * `boundHost` is the name or address the server listens on.
 */
export function refusalOf(request: IncomingMessage, boundHost: string): Refusal | null {
  const { method = "", url = "", headers, socket } = request;
  const host = headers.host ?? "";
  const ownAddress = (socket.localAddress ?? "").replace(/^::ffff:/, "");
  const names = [...LOOPBACK_NAMES, boundHost.toLowerCase(), ownAddress];
  if (!names.includes(hostname(host)))
    return { status: 403, reason: "This server is not known under that name: ask it by its address." };
  if (headers.origin !== undefined && headers.origin !== `http://${host}`)
    return { status: 403, reason: "Pages of other sites are not served." };
  if (method !== "GET" && method !== "HEAD") return { status: 405, reason: "Only GET and HEAD are answered." };
  const hasBody = (headers["content-length"] ?? "0") !== "0" || headers["transfer-encoding"] !== undefined;
  if (hasBody) return { status: 400, reason: "A request has no body here." };
  // a full address is what a proxy is asked for
  if (!url.startsWith("/")) return { status: 400, reason: "The path must begin with a slash." };
  return null;
}

/** Without port and brackets, in small letters; empty when it can't be read. */
function hostname(host: string): string {
  const [, bracketed, plain] = /^(?:\[([\da-f:.]+)\]|([^:[\]@/]+))(?::\d+)?$/i.exec(host) ?? [];
  return (bracketed ?? plain ?? "").toLowerCase();
}

/** A warning when who listens on `host` can be reached from other machines; nothing otherwise. */
export function reachNote(host: string): string[] {
  if (["", ...LOOPBACK_NAMES].includes(host.toLowerCase()) || /^127(\.\d{1,3}){3}$/.test(host)) return [];
  return [
    `Whoever reaches this machine by ${host} can read all of it: there is no password, and nothing is encrypted.`,
  ];
}
