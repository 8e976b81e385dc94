import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { messageOf, UserError } from "../system/errors.ts";
import type { Clock } from "../system/world.ts";

const TIMEOUT_MS = 5000;
const BODY_BYTES_MAX = 64 * 1024;

export interface Webhook {
  /**
   * Posts the payload as JSON and resolves at an answer of 2xx. Rejects after 5 s, at any other answer (a redirect
   * too), and when nobody answers; the error names the host only, since the path often holds a secret.
   */
  post(payload: object): Promise<void>;
}

/** The address of a webhook; null unless it is https, or http on this machine. */
export function webhookAddress(text: string): URL | null {
  if (!URL.canParse(text)) return null;
  const url = new URL(text);
  const isLoopback = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(url.hostname);
  return url.protocol === "https:" || (url.protocol === "http:" && isLoopback) ? url : null;
}

/** Throws a UserError for an address that must not be used. */
export function createWebhook(options: { url: string; clock: Pick<Clock, "after"> }): Webhook {
  const url = webhookAddress(options.url);
  if (url === null)
    throw new UserError(
      "webhook",
      "notifications.webhookUrl can't be used: it must begin with https://, or with http:// and lead to this machine.",
    );
  return { post: (payload) => post(url, payload, options.clock) };
}

async function post(url: URL, payload: object, clock: Pick<Clock, "after">): Promise<void> {
  const body = Buffer.from(JSON.stringify(payload));
  if (body.byteLength > BODY_BYTES_MAX) throw new Error(`a notice has at most ${BODY_BYTES_MAX} bytes`);
  const status = await statusOf(url, body, clock).catch((error: unknown) => {
    throw new Error(`${url.host} can't be reached: ${messageOf(error)}`);
  });
  if (status < 200 || status > 299) throw new Error(`${url.host} answered ${status}`);
}

/** What the answer says beyond its status is not read. */
function statusOf(url: URL, body: Uint8Array, clock: Pick<Clock, "after">): Promise<number> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? requestHttps : requestHttp;
    const headers = { "content-type": "application/json", "content-length": body.byteLength };
    // without an agent: it would keep the connection open
    const request = send(url, { method: "POST", headers, agent: false });
    const limit = clock.after(TIMEOUT_MS, () => request.destroy(new Error(`no answer within ${TIMEOUT_MS / 1000} s`)));
    request.on("response", (response) => {
      resolve(response.statusCode ?? 0);
      request.destroy();
    });
    request.on("error", reject);
    request.on("close", () => {
      limit[Symbol.dispose]();
      reject(new Error("the connection was closed"));
    });
    request.end(body);
  });
}
