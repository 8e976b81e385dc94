/**
 * What a user or the model can mend: a bad name, an unwritable folder, a missing model. The message is a
 * sentence that names the value, the place and the remedy. Everything else that throws is a broken invariant.
 */
export class UserError extends Error {
  override readonly name = "UserError";
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The message of anything thrown. Never throws itself. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "thrown was what has no text";
  }
}

/** The system's error code (`ENOSPC`, `EACCES`, …), or an empty text. */
export function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** Ends in an error when a fact we rely on does not hold. */
export function invariant(holds: unknown, fact: string): asserts holds {
  if (!holds) throw new Error(`broken invariant: ${fact}`);
}

/** An error as the system gives them, with its code (`ENOTREG`, `EFBIG`, …). */
export function systemFailure(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
