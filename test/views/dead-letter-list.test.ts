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
      "dl-0123456789ab  run-1  b       max-retries  3 attempts  1h 00m ago  the server is down",
      "dl-0123456789ab  run-1  longer  manual       1 attempt   1h 00m ago  the server is down",
    ]);
    for (const line of renderDeadLetters([LETTER, second], NOW, 40)) expect(line.length).toBeLessThanOrEqual(40);
    expect(renderDeadLetters([], NOW, 40)).toEqual(["No dead letters: no task was given up."]);
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
