/**
 * What a provider asked for when it refused: hosts pass on neither status nor headers of a failed model request, only
 * the SDK's sentence. The worker's process is ours, and its model requests go through the global fetch.
 */
export interface RetryAfterWatch extends Disposable {
  /** `Retry-After` of the last refusal, in the provider's own words; empty when none was given since `clear`. */
  seen(): string;
  clear(): void;
}

const refusals = new Set([429, 503, 529]);

export function watchRetryAfter(): RetryAfterWatch {
  const original = globalThis.fetch;
  let seen = "";
  const watching: typeof original = async (...request) => {
    const response = await original(...request);
    if (refusals.has(response.status)) seen = response.headers.get("retry-after") ?? "";
    return response;
  };
  globalThis.fetch = watching;
  return {
    seen: () => seen,
    clear: () => {
      seen = "";
    },
    [Symbol.dispose]: () => {
      // an extension may have put its own around ours
      if (globalThis.fetch === watching) globalThis.fetch = original;
    },
  };
}
