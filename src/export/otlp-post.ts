import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { codeOf, messageOf } from "../system/errors.ts";
import type { Clock } from "../system/world.ts";
import type { OtlpTarget } from "./otlp-environment.ts";

const compress = promisify(gzip);

/** Of an answer, no more is read. */
const ANSWER_BYTES_MAX = 64 * 1024;

export interface PostAnswer {
  readonly status: number;
  /** As it came; null without one. */
  readonly retryAfter: string | null;
  /** Cut at 64 kB. */
  readonly body: string;
}

/**
 * Posts JSON and resolves with the whole answer, whatever its status; a redirect is not followed. Rejects when the
 * network fails, when the target's time is over and when `signal` aborts; nothing of the connection stays. The error
 * names the host only, since address and headers may hold secrets. A request under way does not keep the process alive.
 */
export async function postJson(
  target: OtlpTarget,
  json: Uint8Array,
  clock: Pick<Clock, "after">,
  signal: AbortSignal,
): Promise<PostAnswer> {
  const body = target.gzip ? await compress(json) : json;
  try {
    return await exchange(target, body, clock, signal);
  } catch (error) {
    // several addresses that all refused make an error without a message
    throw new Error(`${target.url.host} can't be reached: ${messageOf(error) || codeOf(error)}`);
  }
}

function exchange(
  { url, headers, timeoutMs, gzip: isZipped }: OtlpTarget,
  body: Uint8Array,
  clock: Pick<Clock, "after">,
  signal: AbortSignal,
): Promise<PostAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(new Error("the session ended"));
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const own = {
      // exactly this: receivers compare, and refuse a charset behind it
      "content-type": "application/json",
      "content-length": body.byteLength,
      ...(isZipped ? { "content-encoding": "gzip" } : {}),
    };
    // without an agent: it would keep the connection open
    const request = send(url, { method: "POST", headers: { ...headers, ...own }, agent: false });
    const limit = clock.after(timeoutMs, () => request.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    const abort = () => request.destroy(new Error("no answer before the session ended"));
    signal.addEventListener("abort", abort, { once: true });
    request.on("socket", (socket) => socket.unref());
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      const finish = () => {
        const retryAfter = response.headers["retry-after"] ?? null;
        const text = Buffer.concat(chunks).subarray(0, ANSWER_BYTES_MAX).toString("utf8");
        resolve({ status: response.statusCode ?? 0, retryAfter, body: text });
        request.destroy();
      };
      response.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        bytes += chunk.byteLength;
        if (bytes >= ANSWER_BYTES_MAX) finish();
      });
      response.on("end", finish);
      response.on("error", reject);
    });
    request.on("error", reject);
    request.on("close", () => {
      limit[Symbol.dispose]();
      signal.removeEventListener("abort", abort);
      reject(new Error("the connection was closed"));
    });
    request.end(body);
  });
}
