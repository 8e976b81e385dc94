export interface HttpRequest {
  /** As it was sent, percent signs and all. */
  readonly path: string;
  /** Decoded values of the path's `:name` parts. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** The `Accept` header; empty when there is none. */
  readonly accept: string;
}

export interface HttpReply {
  readonly status: number;
  /** Content type. */
  readonly type: string;
  readonly body: string | Uint8Array;
  /** More headers, and others in place of the server's own. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** What it throws is logged and answered with 500, without the reason. */
export type HttpHandler = (request: HttpRequest) => HttpReply | Promise<HttpReply>;

/** Path → handler. A part `:name` stands for any text without a slash; the first path that fits is taken. */
export type Routes = Readonly<Record<string, HttpHandler>>;

export interface FoundRoute {
  readonly handler: HttpHandler;
  readonly params: Readonly<Record<string, string>>;
}

/** The handler of a path. Null when nothing fits. */
export function findRoute(routes: Routes, path: string): FoundRoute | null {
  for (const [pattern, handler] of Object.entries(routes)) {
    const params = paramsOf(pattern, path);
    if (params !== null) return { handler, params };
  }
  return null;
}

function paramsOf(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  const params: Record<string, string> = {};
  for (const [i, part] of wanted.entries()) {
    const text = given[i] ?? "";
    if (!part.startsWith(":")) {
      if (part !== text) return null;
      continue;
    }
    const value = decoded(text);
    if (value === "") return null;
    params[part.slice(1)] = value;
  }
  return params;
}

/** Empty when the text is no encoding of anything. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
