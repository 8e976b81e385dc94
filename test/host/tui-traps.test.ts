/** What only the real terminal shows. */
import { expect, test } from "vitest";
import { currentHost, hostAtLeast } from "../support/host-paths.ts";
import { fixture, makeRig, probeLog } from "../support/rig.ts";
import { tmuxMissing } from "../support/tmux-host.ts";

const host = currentHost();
const probe = { extensions: [fixture("probe-extension.ts")], args: ["--no-session"] };
const quiet = () => ({ text: "fine" });
const tui = test.skipIf(tmuxMissing !== null);
if (tmuxMissing) console.warn(tmuxMissing);

async function started(columns: number, rows: number) {
  const { agentFolder, tmux } = await makeRig(quiet);
  const pi = await tmux({ ...probe, columns, rows });
  return { agentFolder, pi: await pi.ready() };
}

tui(`a prompt is answered in the terminal of ${host.name}`, async () => {
  const { pi } = await started(100, 32);
  await pi.submit("hello there");
  await pi.waitForText("fine");
});

tui("a TUI is told by hasUI and its themes; ctx.mode exists since 0.78", async () => {
  const { agentFolder } = await started(100, 32);
  const [start] = await probeLog(agentFolder, "session_start");
  expect(start).toMatchObject({ hasUI: true, mode: hostAtLeast(host, "0.78") ? "tui" : null, stdinTty: true });
  expect(start!["themes"]).toBeGreaterThan(0);
});

tui("a notice of twenty lines is shown whole", async () => {
  const { pi } = await started(80, 40);
  const rows = Array.from({ length: 20 }, (_, index) => `row ${index + 1} end`);
  await pi.submit(`/probe-notify info ${rows.join("\\n")}`);
  const screen = await pi.waitForText(/^ *row 20 end$/m);
  for (const row of rows) expect(screen).toMatch(new RegExp(`^ *${row}$`, "m"));
});

tui("an info notice right after another takes its place; warnings and errors stay", async () => {
  const { pi } = await started(80, 40);
  await pi.submit("/probe-notify warning the warning");
  await pi.submit("/probe-notify error the error");
  await pi.submit("/probe-notify info the first");
  await pi.waitForText(/^ the first$/m);
  await pi.submit("/probe-notify info the second");
  const screen = await pi.waitForText(/^ the second$/m);
  expect(screen).toMatch(/^ Warning: the warning$/m);
  expect(screen).toMatch(/^ Error: the error$/m);
  expect(screen).not.toContain("the first");
});

tui("SIGTERM delivers session_shutdown in the TUI since 0.77, not before", async () => {
  const { agentFolder, pi } = await started(100, 32);
  process.kill(await pi.pid(), "SIGTERM");
  const exited = await pi.waitForExit();
  const shutdowns = await probeLog(agentFolder, "session_shutdown");
  expect([exited, shutdowns.length]).toEqual(hostAtLeast(host, "0.77") ? [0, 1] : [143, 0]);
});

tui.each(["wide", "throw"])(
  "a widget that renders badly (%s) kills the host, without session_shutdown",
  async (how) => {
    const { agentFolder, pi } = await started(100, 32);
    await pi.submit(`/probe-crash ${how}`);
    expect(await pi.waitForExit()).toBe(1);
    expect(await probeLog(agentFolder, "session_shutdown")).toEqual([]);
  },
);
