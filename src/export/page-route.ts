import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Files } from "../system/world.ts";
import type { HttpHandler, HttpReply } from "./http-routes.ts";

// compiled, this line stands in another folder
const PAGE = fileURLToPath(new URL("../export/page.html", import.meta.url));

/** The page, read when it is first asked for. It may run its own script and ask this server, and nothing else. */
export function pageRoute(files: Pick<Files, "readText">): HttpHandler {
  let reply: HttpReply | null = null;
  return async () => {
    reply ??= pageReply((await files.readText(PAGE)) ?? "");
    return reply;
  };
}

function pageReply(body: string): HttpReply {
  const policy = [
    "default-src 'none'",
    `script-src ${hashesOf(body, "script")}`,
    `style-src ${hashesOf(body, "style")}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    // text that would be read as HTML throws, whoever wrote it
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  const headers = { "content-security-policy": policy.join("; "), "referrer-policy": "no-referrer" };
  return { status: 200, type: "text/html; charset=utf-8", body, headers };
}

/** Only these very texts are run, and drawn with (Content Security Policy Level 3, hash sources). */
function hashesOf(html: string, tag: string): string {
  const texts = [...html.matchAll(new RegExp(`<${tag}>([^]*?)</${tag}>`, "g"))].map((match) => match[1] ?? "");
  return texts.map((text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`).join(" ");
}
