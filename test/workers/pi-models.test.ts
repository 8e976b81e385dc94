import { describe, expect, it } from "vitest";
import { chooseModel } from "../../src/workers/pi-models.ts";

const available = [
  { provider: "anthropic", id: "claude-sonnet-4-5" },
  { provider: "anthropic", id: "claude-opus-4" },
  { provider: "openrouter", id: "anthropic/claude-opus-4:free" },
  { provider: "openai", id: "gpt-5" },
];
const [sonnet, opus, free, gpt] = available;

describe("the model an agent gets", () => {
  it.each([
    [["anthropic/claude-opus-4"], opus, null],
    [["Claude-Opus-4"], opus, null],
    [["claude-opus-4:high"], opus, "high"],
    [["openrouter/anthropic/claude-opus-4:free"], free, null],
    [["anthropic/claude-opus-4:free:low"], free, "low"],
    [["sonnet"], sonnet, null],
    [["sonnet:minimal"], sonnet, "minimal"],
    [["nothing", " ", "gpt"], gpt, null],
  ])("for %j", (wanted, model, thinking) => {
    expect(chooseModel(wanted, available)).toEqual({ kind: "model", model, thinking });
  });

  it("is the host's own when none is asked for", () => {
    for (const wanted of [[], [""], ["inherit", "gpt-5"]])
      expect(chooseModel(wanted, available)).toEqual({ kind: "host-default" });
  });

  it("is none when no wish or several models fit", () => {
    expect(chooseModel(["opus"], available)).toMatchObject({
      kind: "none",
      message: expect.stringMatching(/"opus" fits several models.*claude-opus-4/),
    });
    expect(chooseModel(["gpt-5:loud"], available)).toMatchObject({
      kind: "none",
      message: expect.stringContaining('"gpt-5:loud"'),
    });
    expect(chooseModel(["x"], [])).toMatchObject({ kind: "none", message: expect.stringContaining("/login") });
  });
});
