import { expect, it } from "vitest";
import { Dialogs } from "../../src/host/dialogs.ts";
import type { Session } from "../../src/host/session.ts";

/** Of a session whose host a test double stands for. */
function dialogsIn(mode: "tui" | "rpc", typed = "", covered = false) {
  const context = { mode, hasUI: true, ui: { getEditorText: () => typed } };
  return new Dialogs({ context, feed: () => ({ covered }) } as unknown as Session);
}

it("a dialog that comes by itself takes no key from what is typed, nor from another dialog, nor one that nobody sees", async () => {
  expect(dialogsIn("tui").areWelcome).toBe(true);
  expect(dialogsIn("tui", "fix the").areWelcome).toBe(false);
  expect(dialogsIn("tui", "", true).areWelcome).toBe(false);
  const dialogs = dialogsIn("tui");
  await dialogs.during(async () => expect(dialogs.areWelcome).toBe(false));
  await dialogs.during(() => Promise.reject(new Error("taken away"))).catch(() => undefined);
  expect(dialogs.areWelcome).toBe(true);
});

it("a client shows each dialog by itself", async () => {
  const dialogs = dialogsIn("rpc");
  expect(await dialogs.during(async () => dialogs.areWelcome)).toBe(true);
});
