import type { Correlation } from "../events/correlation.ts";
import type { EventBus } from "../events/publisher.ts";
import type { Redactor } from "../system/redaction.ts";
import type { World } from "../system/world.ts";
import type { HostFacts } from "./host-process.ts";
import type { Severity } from "./output.ts";

/** Where runs are driven: a Pi session, or the process of a background run. */
export interface RunsHome {
  /** Of the session that asked for the runs. */
  readonly id: string;
  readonly cwd: string;
  readonly agentDir: string;
  readonly world: World;
  readonly bus: EventBus;
  readonly correlation: Correlation;
  hostFacts(): Promise<HostFacts>;
  /** Masks what is secret here in all that is kept, shown and sent. */
  redactor(): Promise<Redactor>;
  /** Whether a user can be asked: by a dialog, or later by a message. */
  readonly canAsk: boolean;
  /** Tells the user; nothing where there is none. */
  show(text: string, severity: Severity): void;
}
