const LET_GO = Symbol.for("pi-foreman.let-go");
const TO_END = Symbol.for("pi-foreman.to-end");

/** By run. Of the process: the host evaluates our modules anew for the next session, which may be another folder's. */
const ofProcess = globalThis as { [LET_GO]?: Map<string, string>; [TO_END]?: Map<string, string> };

/** Runs that were cancelled in this process when their log could not tell, and why. Whoever takes one over ends it. */
export function runsToEnd(): Map<string, string> {
  ofProcess[TO_END] ??= new Map();
  return ofProcess[TO_END];
}

/** Keeps in mind which runs of `cwd` a session that ends lets go of; the folder of each. */
export function noteLetGo(runIds: readonly string[], cwd: string): void {
  ofProcess[LET_GO] ??= new Map();
  for (const runId of runIds) ofProcess[LET_GO].set(runId, cwd);
}

/** What to say, once, of runs that a session in `cwd` does not go on with. */
export function tellLetGo(cwd: string): string[] {
  const noted = ofProcess[LET_GO] ?? [];
  delete ofProcess[LET_GO];
  return [...noted]
    .filter(([, folder]) => folder !== cwd)
    .map(
      ([runId, folder]) =>
        `Run ${runId} of ${folder} was let go of: its attempts under way go on, and what comes after them waits for a ` +
        `session of that folder (resume one here, or type /team-resume ${runId} in a Pi that is open there).`,
    );
}
