/** Of the process: it has one loader, whatever sessions it has. */
let turn: Promise<unknown> = Promise.resolve();

/**
 * Imports one thing at a time. While an import is under way, the host's loader gives a second one of the same files
 * their half-filled modules: whatever a session imports after the start goes through here.
 */
export function inTurn<T>(load: () => Promise<T>): Promise<T> {
  const loaded = turn.then(load);
  turn = loaded.catch(() => undefined);
  return loaded;
}

/** The same, at the first call only, and at the next one after it failed. */
export function onceInTurn<T>(load: () => Promise<T>): () => Promise<T> {
  let loaded: Promise<T> | null = null;
  return () => {
    loaded ??= inTurn(load).catch((error: unknown) => {
      loaded = null;
      throw error;
    });
    return loaded;
  };
}
