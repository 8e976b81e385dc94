import type { EventBus } from "./publisher.ts";

type Handler = (data: unknown) => unknown;

/**
 * A bus for processes without Pi, with the manners of `pi.events`: synchronous, one payload for all, each subscription
 * on its own, told are those who were subscribed when the event came; `onError` hears what a handler throws or rejects.
 */
export function createLocalBus(onError: (error: unknown, channel: string) => void): EventBus {
  const subscriptions = new Map<string, Set<{ handler: Handler }>>();

  async function call(handler: Handler, channel: string, data: unknown): Promise<void> {
    try {
      await handler(data);
    } catch (error) {
      onError(error, channel);
    }
  }

  return {
    emit(channel, data) {
      for (const { handler } of [...(subscriptions.get(channel) ?? [])]) void call(handler, channel, data);
    },
    on(channel, handler) {
      const set = subscriptions.get(channel) ?? new Set();
      const subscription = { handler };
      subscriptions.set(channel, set.add(subscription));
      return () => set.delete(subscription);
    },
  };
}
