import type { CrewEventType } from "./crew-event.ts";

/**
 * Whether an event must be on disk before anything acts on it (`sync`), or may be lost with the
 * page cache (`lazy`): progress never waits for a disk.
 */
export const EVENT_DURABILITY: { readonly [T in CrewEventType]: "sync" | "lazy" } = {
  "crew.run.created": "sync",
  "crew.run.claimed": "sync",
  "crew.run.released": "sync",
  "crew.run.started": "sync",
  "crew.run.completed": "sync",
  "crew.run.failed": "sync",
  "crew.run.cancelled": "sync",
  "crew.run.interrupted": "sync",
  "crew.run.resumed": "sync",
  "crew.run.budget_exceeded": "sync",
  "crew.run.cancel_asked": "sync",
  "crew.task.ready": "lazy",
  "crew.task.started": "sync",
  "crew.task.attempt_started": "sync",
  "crew.task.attempt_finished": "sync",
  "crew.task.retry_attempt": "sync",
  "crew.task.completed": "sync",
  "crew.task.failed": "sync",
  "crew.task.cancelled": "sync",
  "crew.task.skipped": "sync",
  "crew.task.progress": "lazy",
  "crew.task.heartbeat_level": "lazy",
  "crew.task.heartbeat_dead": "sync",
  "crew.task.deadletter": "sync",
  "crew.task.redriven": "sync",
  "crew.task.cancel_asked": "sync",
  "crew.task.checkpoint": "sync",
  "crew.subagent.spawned": "lazy",
  "crew.subagent.adopted": "lazy",
  "crew.subagent.completed": "lazy",
  "crew.mailbox.message": "sync",
  "crew.notification.sent": "lazy",
};

/** Every event type, in the order of the table above. */
export const CREW_EVENT_TYPES = Object.keys(EVENT_DURABILITY) as readonly CrewEventType[];
