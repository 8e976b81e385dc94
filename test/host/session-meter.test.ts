import { expect, test } from "vitest";
import type { TellFact } from "../../src/host/early-facts.ts";
import { SessionMeter } from "../../src/host/session-meter.ts";

function setup() {
  const facts: unknown[] = [];
  const tell: TellFact = (name, fact) => void facts.push({ name, ...fact });
  const clock = { ms: 1000, monotonicMs: () => clock.ms };
  return { facts, clock, meter: new SessionMeter(tell, clock) };
}

const reply = (more: object = {}) => ({ role: "assistant", provider: "p", model: "m", stopReason: "stop", ...more });
const noTokens = { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 };

test("the first token is waited for from the request on, once per reply, whoever else speaks", () => {
  const { facts, clock, meter } = setup();
  meter.turnStarted();
  clock.ms += 500;
  meter.requestSent();
  clock.ms += 70;
  meter.pieceCame({ role: "user" });
  meter.pieceCame(reply());
  clock.ms += 70;
  meter.pieceCame(reply());
  meter.turnEnded();
  meter.turnEnded();
  expect(facts).toEqual([
    { name: "firstToken", model: "p/m", delayMs: 70 },
    { name: "turnEnded", durationMs: 640 },
  ]);
});

test("a reply that began nothing leaves no wait behind", () => {
  const { facts, meter } = setup();
  meter.requestSent();
  meter.messageEnded(reply());
  meter.pieceCame(reply());
  expect(facts).toEqual([{ name: "usage", model: "p/m", tokens: noTokens, costUsd: 0 }]);
});

test("numbers that are none count as zero, as does what a provider leaves out", () => {
  const { facts, meter } = setup();
  const usage = { input: Number.NaN, output: -5, cacheRead: "9", cacheWrite: 4, cost: { total: Infinity } };
  meter.messageEnded({ role: "assistant", usage });
  meter.messageEnded({ role: "toolResult", usage });
  meter.messageEnded({ role: "assistant", usage: null });
  meter.messageEnded(null);
  expect(facts).toEqual([
    { name: "usage", model: "unknown/unknown", tokens: { ...noTokens, cacheWrite: 4 }, costUsd: 0 },
    { name: "usage", model: "unknown/unknown", tokens: noTokens, costUsd: 0 },
  ]);
});

test.each([
  ["429 Too many requests", 429],
  ["Error: 529 overloaded", 529],
  ['{"error":{"code":503,"message":"at capacity"}}', 503],
  ["OpenAI API error (status 401)", 401],
  ["HTTP status code: 404", 404],
  ["Connection error.", "network"],
  ["terminated", "network"],
  ["429", 429],
  ["503: at capacity", 503],
  ["429 slow down", 429],
  ['400 {"type":"error"}', 400],
  ["502 status code (no body)", 502],
  ["the reply has 500 words too many", "other"],
  ["500 tokens are too many", "other"],
])("%s is an error of status %s", (errorMessage, status) => {
  const { facts, meter } = setup();
  meter.messageEnded(reply({ stopReason: "error", errorMessage }));
  expect(facts.at(-1)).toEqual({ name: "providerError", status });
});

test("a status that was answered wins over words, and is good for its own request alone", () => {
  const { facts, meter } = setup();
  meter.requestSent();
  meter.answered(502);
  meter.messageEnded(reply({ stopReason: "error", errorMessage: "strange" }));
  meter.requestSent();
  meter.answered(503);
  meter.messageEnded(reply({ stopReason: "aborted" }));
  meter.requestSent();
  meter.messageEnded(reply({ stopReason: "error", errorMessage: "strange" }));
  meter.requestSent();
  meter.answered(503);
  meter.answered(200);
  meter.messageEnded(reply({ stopReason: "error", errorMessage: "strange" }));
  expect(facts.filter((fact) => (fact as { name: string }).name === "providerError")).toEqual([
    { name: "providerError", status: 502 },
    { name: "providerError", status: "other" },
    { name: "providerError", status: "other" },
  ]);
});

test("tools side by side are told apart; one whose start was missed has no duration", () => {
  const { facts, clock, meter } = setup();
  meter.toolStarted("1");
  clock.ms += 10;
  meter.toolStarted("2");
  clock.ms += 5;
  meter.toolEnded("1", "bash", false);
  meter.toolEnded("2", "read", true);
  meter.toolEnded("3", "ls", false);
  meter.toolStarted("4");
  meter.agentStarted();
  meter.toolEnded("4", "ls", false);
  expect(facts).toEqual([
    { name: "toolEnded", tool: "bash", status: "ok", durationMs: 15 },
    { name: "toolEnded", tool: "read", status: "error", durationMs: 5 },
    { name: "toolEnded", tool: "ls", status: "ok", durationMs: null },
    { name: "toolEnded", tool: "ls", status: "ok", durationMs: null },
  ]);
});
