import { describe, expect, it } from "vitest";
import type { DeadLetter } from "../../src/store/dead-letter-lines.ts";
import { renderDeadLetter, renderDeadLetters } from "../../src/views/dead-letter-list.ts";

const NOW = Date.parse("2024-01-01T12:00:00.000Z");
const LETTER: DeadLetter = {
  id: "dl-0123456789ab",
  runId: "run-1",
  taskId: "b",
  reason: "max-retries",
  attempts: 3,
  lastError: { kind: "provider", message: "\n the server\u001b[31m is down \nfor long" },
  timestamp: "2024-01-01T11:00:00.000Z",
  status: "open",
};

describe("the list of dead letters", () => {
  it("has one line each, in columns, with the error's first line as plain text", () => {
    const second: DeadLetter = { ...LETTER, taskId: "longer", attempts: 1, reason: "manual" };
    expect(renderDeadLetters([LETTER, second], NOW, 120)).toEqual([
      "dl-0123456789ab  b       1h 00m ago  max-retries  run-1  3 attempts  the server is down",
      "dl-0123456789ab  longer  1h 00m ago  manual       run-1  1 attempt   the server is down",
    ]);
    for (const line of renderDeadLetters([LETTER, second], NOW, 40)) expect(line.length).toBeLessThanOrEqual(40);
    expect(renderDeadLetters([], NOW, 40)).toEqual(["No dead letters are open."]);
  });

  it("leaves out what does not fit, and cuts nothing but the error", () => {
    const letter = { ...LETTER, runId: "20240101-110000000-0a1b2c3d", taskId: "implement" };
    const long = { ...letter, taskId: "implement-parser" };
    expect(renderDeadLetters([letter], NOW, 78)).toEqual([
      "dl-0123456789ab  implement  1h 00m ago  max-retries  3 attempts  the server i…",
    ]);
    expect(renderDeadLetters([letter, long], NOW, 99)).toEqual([
      "dl-0123456789ab  implement         1h 00m ago  max-retries  20240101-110000000-0a1b2c3d  3 attempts",
      "dl-0123456789ab  implement-parser  1h 00m ago  max-retries  20240101-110000000-0a1b2c3d  3 attempts",
    ]);
    expect(renderDeadLetters([letter], NOW, 40)).toEqual(["dl-0123456789ab  implement  1h 00m ago"]);
    expect(renderDeadLetters([long], NOW, 30)).toEqual(["dl-0123456789ab  1h 00m ago"]);
    expect(renderDeadLetters([letter], NOW, 10)).toEqual(["dl-012345…"]);
  });
});

describe("one dead letter", () => {
  it("is told whole, with what became of it", () => {
    const redriven: DeadLetter = { ...LETTER, status: "redriven", newRunId: "run-2", markedAt: "", markedBy: "" };
    expect(renderDeadLetter(redriven, NOW, 80)).toEqual([
      "dl-0123456789ab  redriven as run run-2",
      "task b of run run-1",
      "max-retries after 3 attempts, 1h 00m ago",
      "provider: ",
      " the server is down ",
      "for long",
    ]);
  });
});
