import type { TokenCounts } from "../events/crew-event.ts";
import { type Attributes, intValue, textValue } from "./otlp-json.ts";

/**
 * Names of OpenTelemetry's conventions for generative AI (in development):
 * https://github.com/open-telemetry/semantic-conventions-genai
 */

/** Values of `gen_ai.provider.name` where the host names the provider otherwise. */
const PROVIDERS: Readonly<Record<string, string>> = {
  "amazon-bedrock": "aws.bedrock",
  "azure-openai": "azure.ai.openai",
  "azure-openai-responses": "azure.ai.openai",
  google: "gcp.gemini",
  "google-gemini-cli": "gcp.gen_ai",
  "google-vertex": "gcp.vertex_ai",
  mistral: "mistral_ai",
  moonshotai: "moonshot_ai",
  "openai-codex": "openai",
  xai: "x_ai",
};

/** Whether a worker is an agent; one of a kind that is not known here is, when it used a model. */
export function isAgent(workerKind: string, model: string | undefined): boolean {
  if (workerKind === "") return model !== undefined;
  return workerKind === "pi" || workerKind === "codex";
}

/** `model` is `provider/id`; the id may have slashes of its own. */
export function modelAttributes(model: string | undefined): Attributes {
  if (model === undefined || model === "unknown/unknown") return {};
  const slash = model.indexOf("/");
  const id = textValue(model.slice(slash + 1));
  if (slash <= 0) return { "gen_ai.request.model": id };
  const provider = model.slice(0, slash);
  const known = Object.hasOwn(PROVIDERS, provider) ? PROVIDERS[provider] : undefined;
  return { "gen_ai.provider.name": textValue(known ?? provider), "gen_ai.request.model": id };
}

export function agentAttributes(role: string, model: string | undefined): Attributes {
  return {
    "gen_ai.operation.name": textValue("invoke_agent"),
    ...(role === "" ? {} : { "gen_ai.agent.name": textValue(role) }),
    ...modelAttributes(model),
  };
}

/** Input tokens include those that came from a cache or went into one. */
export function inputTokens({ input, cacheRead, cacheWrite }: TokenCounts): number {
  return input + cacheRead + cacheWrite;
}

export function usageAttributes(tokens: TokenCounts): Attributes {
  return {
    "gen_ai.usage.input_tokens": intValue(inputTokens(tokens)),
    "gen_ai.usage.output_tokens": intValue(tokens.output),
    "gen_ai.usage.cache_read.input_tokens": intValue(tokens.cacheRead),
    "gen_ai.usage.cache_creation.input_tokens": intValue(tokens.cacheWrite),
  };
}
