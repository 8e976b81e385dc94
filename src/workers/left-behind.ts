import type { ArtifactRecord, TreeChanges } from "../events/crew-event.ts";
import type { Checkpoint } from "./step-contract.ts";

/** What an attempt leaves beside its words. */
export interface LeftBehind {
  artifacts: readonly ArtifactRecord[];
  changes: TreeChanges | null;
  /** In the order they were taken. */
  checkpoints: readonly Checkpoint[];
}

export const nothingLeft: LeftBehind = { artifacts: [], changes: null, checkpoints: [] };
