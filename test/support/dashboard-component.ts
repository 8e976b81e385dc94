import type { ExtensionCommandContext } from "@mariozechner/pi-coding-agent";
import { createLocalBus } from "../../src/events/local-bus.ts";
import type { EventBus } from "../../src/events/publisher.ts";
import { showDashboard } from "../../src/host/dashboard.ts";
import type { DashboardData } from "../../src/host/dashboard-data.ts";
import { DashboardTranscript } from "../../src/host/dashboard-transcript.ts";
import { RunFeed } from "../../src/host/run-feed.ts";
import type { Session } from "../../src/host/session.ts";
import { isTerminal } from "../../src/runs/run-state.ts";
import { nodeWorld } from "../../src/system/node.ts";
import type { Clock } from "../../src/system/world.ts";
import type { RunPicture } from "../../src/views/run-summary.ts";
import { sampleView } from "./dashboard-sample.ts";

/** What the host has in its hands while the dashboard is open. */
export interface ShownDashboard {
  render(width: number): string[];
  handleInput(data: string): void;
  dispose(): void;
  /** Frames that were asked for. */
  readonly requests: number;
  readonly bus: EventBus;
}

type Component = Omit<ShownDashboard, "requests" | "bus">;

/**
 * The dashboard's own component without a terminal, over runs in memory: test doubles stand for the host's screen and
 * for what is read from disk.
 */
export async function openComponent(runs: () => readonly RunPicture[], clock: Clock): Promise<ShownDashboard> {
  const world = { ...nodeWorld({ warn: console.warn, error: console.error }), clock };
  const bus = createLocalBus((error) => {
    throw error;
  });
  const feed = new RunFeed(bus, world);
  const { metrics, letters } = sampleView();
  const data = {
    runs,
    ...{ letters, crewRoot: "/nowhere", metrics: () => metrics, look: () => undefined },
    ...{ driverOf: () => "", silences: () => new Map() },
    get moving() {
      return runs().some(({ state }) => !isTerminal(state.status));
    },
  };
  let requests = 0;
  const shown: Component[] = [];
  const tui = { terminal: { rows: 60 }, requestRender: () => requests++ };
  const same = (text: string) => text;
  const theme = { fg: (_: string, text: string) => text, bg: (_: string, text: string) => text, bold: same };
  const custom = async (make: (...parts: unknown[]) => Component) => {
    shown.push(make(tui, theme, null, () => undefined));
  };
  await showDashboard({ ui: { custom } } as unknown as ExtensionCommandContext, {
    session: { world, feed: () => feed, defer: () => undefined } as unknown as Session,
    data: data as unknown as DashboardData,
    transcript: new DashboardTranscript(world),
  });
  const [component] = shown;
  if (!component) throw new Error("no dashboard was shown");
  return {
    render: (width) => component.render(width),
    handleInput: (key) => component.handleInput(key),
    dispose: () => {
      component.dispose();
      feed[Symbol.dispose]();
    },
    bus,
    get requests() {
      return requests;
    },
  };
}
