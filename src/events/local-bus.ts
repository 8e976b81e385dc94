import type { EventBus } from "./publisher.ts";

/** A bus for processes without Pi, with the manners of `pi.events`: synchronous, one payload for all. */
export function createLocalBus(onError: (error: unknown, channel: string) => void): EventBus {
  const handlers = new Map<string, Set<(data: unknown) => void>>();
  return {
    emit(channel, data) {
      for (const handler of handlers.get(channel) ?? []) {
        try {
          handler(data);
        } catch (error) {
          onError(error, channel);
        }
      }
    },
    on(channel, handler) {
      const set = handlers.get(channel) ?? new Set();
      handlers.set(channel, set.add(handler));
      return () => set.delete(handler);
    },
  };
}
