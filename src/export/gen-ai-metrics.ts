import type { EventOf, TokenCounts } from "../events/crew-event.ts";
import { Buckets } from "../metrics/buckets.ts";
import { LabelledHistogram } from "../metrics/histogram.ts";
import type { Log } from "../system/world.ts";
import { inputTokens, modelAttributes } from "./gen-ai-attributes.ts";
import type { Attributes } from "./otlp-json.ts";
import type { EncodableMetric } from "./otlp-metrics.ts";
import { attributeText, type Span } from "./otlp-spans.ts";

/** The bounds that the conventions recommend. Seconds, and tokens. */
const WORKFLOW_BOUNDS_S = [1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200];
const AGENT_BOUNDS_S = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6];
const OPERATION_BOUNDS_S = Array.from({ length: 14 }, (_, n) => 2 ** n / 100);
const TOKEN_BOUNDS = Array.from({ length: 14 }, (_, n) => 4 ** n);

const SERIES_MAX = 1000;

/** The conventions demand a provider, also where the model is not known. */
const NO_PROVIDER = "unknown";

/**
 * The metrics of https://github.com/open-telemetry/semantic-conventions-genai, beside our own. Durations are those of
 * the spans, as the conventions ask; what the user cancelled has none, since it says nothing of how long work takes.
 *
 * Model requests are not seen one by one: `gen_ai.client.operation.duration` and `gen_ai.client.token.usage` are of
 * whole attempts, with `gen_ai.operation.name` `invoke_agent`.
 */
export class GenAiMetrics {
  readonly #warn: Log["warn"];
  readonly #workflow: LabelledHistogram;
  readonly #agent: LabelledHistogram;
  readonly #operation: LabelledHistogram;
  readonly #tool: LabelledHistogram;
  readonly #tokens: LabelledHistogram;

  constructor(warn: Log["warn"]) {
    this.#warn = warn;
    this.#workflow = this.#histogram("gen_ai.workflow.duration", "How long runs took", WORKFLOW_BOUNDS_S, [
      "gen_ai.workflow.name",
      "error.type",
    ]);
    this.#agent = this.#histogram("gen_ai.invoke_agent.duration", "How long attempts of agents took", AGENT_BOUNDS_S, [
      "gen_ai.agent.name",
      "gen_ai.request.model",
      "error.type",
    ]);
    const operation = ["gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"];
    this.#operation = this.#histogram(
      "gen_ai.client.operation.duration",
      "How long attempts of agents took, by model",
      OPERATION_BOUNDS_S,
      [...operation, "error.type"],
    );
    this.#tool = this.#histogram(
      "gen_ai.execute_tool.duration",
      "How long the tool calls took that workers told of",
      OPERATION_BOUNDS_S,
      ["gen_ai.tool.name", "gen_ai.agent.name", "error.type"],
    );
    this.#tokens = this.#histogram("gen_ai.client.token.usage", "Tokens that attempts of agents used", TOKEN_BOUNDS, [
      ...operation,
      "gen_ai.token.type",
    ]);
  }

  countSpan({ attributes, startMs, endMs }: Span): void {
    const seconds = (endMs - startMs) / 1000;
    const ends = [attributeText(attributes, "crew.run.status"), attributeText(attributes, "crew.attempt.outcome")];
    if (ends.includes("cancelled")) return;
    const observe = (histogram: LabelledHistogram) =>
      histogram.observe(
        Object.fromEntries(histogram.labelNames.map((name) => [name, labelOf(attributes, name)])),
        seconds,
      );
    const operation = attributeText(attributes, "gen_ai.operation.name");
    if (operation === "invoke_workflow") observe(this.#workflow);
    else if (operation === "execute_tool") observe(this.#tool);
    else if (operation === "invoke_agent") {
      observe(this.#agent);
      observe(this.#operation);
    }
  }

  /** By model, where it is known. An attempt that used no tokens is not counted: it called no model. */
  countUsage({ usage, model, tokens }: EventOf<"crew.task.attempt_finished">): void {
    for (const use of usage ?? [{ model, tokens }]) this.#countTokens(use.model, use.tokens);
  }

  snapshot(): EncodableMetric[] {
    const durations = [this.#workflow, this.#agent, this.#operation, this.#tool];
    return [...durations.map((it) => ({ ...it.snapshot(), unit: "s" as const })), this.#tokens.snapshot()];
  }

  #countTokens(model: string | undefined, tokens: TokenCounts): void {
    const named = modelAttributes(model);
    const labels = {
      "gen_ai.operation.name": "invoke_agent",
      "gen_ai.provider.name": labelOf(named, "gen_ai.provider.name"),
      "gen_ai.request.model": labelOf(named, "gen_ai.request.model"),
    };
    const input = inputTokens(tokens);
    if (input > 0) this.#tokens.observe({ ...labels, "gen_ai.token.type": "input" }, input);
    if (tokens.output > 0) this.#tokens.observe({ ...labels, "gen_ai.token.type": "output" }, tokens.output);
  }

  #histogram(name: string, help: string, bounds: readonly number[], labelNames: string[]): LabelledHistogram {
    return new LabelledHistogram({
      name,
      help,
      unit: "tokens",
      labelNames,
      buckets: new Buckets(bounds),
      seriesMax: SERIES_MAX,
      onOverflow: () => this.#warn(`${name} has ${SERIES_MAX} series; further ones are counted together as "overflow"`),
    });
  }
}

function labelOf(attributes: Attributes, name: string): string {
  return attributeText(attributes, name) || (name === "gen_ai.provider.name" ? NO_PROVIDER : "");
}
