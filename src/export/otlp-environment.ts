/**
 * The environment variables that every OpenTelemetry exporter understands, as settings:
 * https://opentelemetry.io/docs/specs/otel/protocol/exporter/ and
 * https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */

/** Where one signal goes. */
export interface OtlpTarget {
  readonly url: URL;
  /** Names in lower case. Values are often secret. */
  readonly headers: Readonly<Record<string, string>>;
  /** For one request, from its start to the end of its answer. Milliseconds. */
  readonly timeoutMs: number;
  readonly gzip: boolean;
}

export interface OtlpSettings {
  /** Null when it is not sent. */
  readonly metrics: OtlpTarget | null;
  readonly traces: OtlpTarget | null;
  /** Of metrics. */
  readonly intervalMs: number;
  readonly traceIntervalMs: number;
  readonly serviceName: string | null;
  readonly resourceAttributes: Readonly<Record<string, string>>;
}

/** What the user's own configuration says; the environment wins. */
export interface OtlpConfigured {
  /** Base address: `/v1/metrics` and `/v1/traces` are added. With a bad one nothing is sent. */
  readonly endpoint?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly intervalMs?: number;
}

export interface OtlpRead {
  /** Null when nothing is to be sent. */
  readonly settings: OtlpSettings | null;
  /** One sentence each. */
  readonly problems: readonly string[];
}

type Environment = Readonly<Record<string, string | undefined>>;
type Signal = "METRICS" | "TRACES";

const WHAT: Readonly<Record<Signal, string>> = { METRICS: "metrics", TRACES: "traces" };

const DEFAULT_ENDPOINT = "http://localhost:4318";
const INTERVAL_MS = 60_000;
const INTERVAL_MS_MIN = 5000;
/** Spans wait in a queue of limited length, whatever the pace of metrics. */
const TRACE_INTERVAL_MS = 5000;
const TRACE_INTERVAL_MS_MIN = 100;
const TIMEOUT_MS = 10_000;
/** Timers fire at once when set for longer than 24 days. */
const DURATION_MS_MAX = 86_400_000;

/**
 * Reads all variables; one that can't be used, or keeps something from being sent, is told with its name, its value
 * unless it may be secret, and what is done instead.
 */
export function readOtlpEnvironment(env: Environment, configured: OtlpConfigured = {}): OtlpRead {
  const problems: string[] = [];
  if (env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true")
    return { settings: null, problems: ["OTEL_SDK_DISABLED is true: nothing is sent by OTLP; unset it to send."] };
  const reader = new Reader(env, configured, problems);
  const settings: OtlpSettings = {
    metrics: reader.target("METRICS"),
    traces: reader.target("TRACES"),
    intervalMs: reader.intervalMs(),
    traceIntervalMs: reader.milliseconds("OTEL_BSP_SCHEDULE_DELAY", TRACE_INTERVAL_MS_MIN, TRACE_INTERVAL_MS),
    serviceName: reader.get("OTEL_SERVICE_NAME"),
    resourceAttributes: reader.pairs("OTEL_RESOURCE_ATTRIBUTES") ?? {},
  };
  const isSilent = settings.metrics === null && settings.traces === null;
  // both signals share most variables, and say the same of them
  return { settings: isSilent ? null : settings, problems: [...new Set(problems)] };
}

class Reader {
  readonly #env: Environment;
  readonly #configured: OtlpConfigured;
  readonly #problems: string[];

  constructor(env: Environment, configured: OtlpConfigured, problems: string[]) {
    this.#env = env;
    this.#configured = configured;
    this.#problems = problems;
  }

  /** Null when it is not set, or empty. */
  get(name: string): string | null {
    return this.#env[name]?.trim() || null;
  }

  target(signal: Signal): OtlpTarget | null {
    if (!this.#isWanted(signal) || !this.#speaksOurProtocol(signal)) return null;
    const url = this.#url(signal);
    if (url === null) return null;
    this.#tellCertificates(signal);
    if (signal === "METRICS") this.#tellOtherNumbers();
    const timeoutMs = this.milliseconds(this.#nameOf(signal, "TIMEOUT"), 1, TIMEOUT_MS);
    return { url, headers: this.#headers(signal), timeoutMs, gzip: this.#gzip(signal) };
  }

  intervalMs(): number {
    const usual = Math.max(INTERVAL_MS_MIN, this.#configured.intervalMs ?? INTERVAL_MS);
    return this.milliseconds("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS_MIN, usual);
  }

  /** `a=1,b=2`, percent-encoded; null when it is not set. All is refused when a part can't be read. */
  pairs(name: string): Record<string, string> | null {
    const text = this.get(name);
    if (text === null) return null;
    const pairs: Record<string, string> = {};
    for (const part of text.split(",").filter((it) => it.trim() !== "")) {
      const [key, value] = decodedPair(part) ?? [];
      if (key === undefined || value === undefined) {
        this.#problems.push(`${name} is not used: it must be a list such as key1=value1,key2=value2, percent-encoded.`);
        return {};
      }
      pairs[key] = value;
    }
    return pairs;
  }

  /** The signal's own variable when it is set, else the common one. */
  #nameOf(signal: Signal, setting: string): string {
    const own = `OTEL_EXPORTER_OTLP_${signal}_${setting}`;
    return this.get(own) === null ? `OTEL_EXPORTER_OTLP_${setting}` : own;
  }

  #isWanted(signal: Signal): boolean {
    const name = `OTEL_${signal}_EXPORTER`;
    const exporter = this.get(name);
    const kinds = (exporter ?? "otlp").toLowerCase().split(/\s*,\s*/);
    const isOff = kinds.includes("none");
    const off = `: no ${WHAT[signal]} are sent by OTLP; set it to otlp to send them.`;
    if (isOff || !kinds.includes("otlp"))
      this.#problems.push(`${name} is "${exporter}"${isOff ? off : "; it must be otlp or none, and otlp is used."}`);
    return !isOff;
  }

  #tellCertificates(signal: Signal): void {
    const own = "pi-foreman has no client certificates; send to a local collector that has";
    const remedies = {
      CERTIFICATE: "name the file in NODE_EXTRA_CA_CERTS instead",
      CLIENT_KEY: own,
      CLIENT_CERTIFICATE: own,
    };
    for (const [setting, remedy] of Object.entries(remedies)) {
      const name = this.#nameOf(signal, setting);
      if (this.get(name) !== null) this.#problems.push(`${name} is not used: ${remedy}.`);
    }
  }

  #tellOtherNumbers(): void {
    const ours = {
      TEMPORALITY_PREFERENCE: "cumulative",
      DEFAULT_HISTOGRAM_AGGREGATION: "explicit_bucket_histogram",
    };
    for (const [setting, used] of Object.entries(ours)) {
      const name = `OTEL_EXPORTER_OTLP_METRICS_${setting}`;
      const asked = this.get(name);
      if (asked === null || asked.toLowerCase() === used) continue;
      this.#problems.push(`${name} is "${asked}"; pi-foreman only sends ${used}, and that is used.`);
    }
  }

  #speaksOurProtocol(signal: Signal): boolean {
    const name = this.#nameOf(signal, "PROTOCOL");
    const protocol = this.get(name);
    if (protocol === null || protocol === "http/json") return true;
    const isHttp = protocol === "http/protobuf";
    const what = WHAT[signal];
    const instead = isHttp ? `${what} are sent as http/json` : `no ${what} are sent; set it to http/json`;
    this.#problems.push(`${name} is "${protocol}", and pi-foreman only speaks http/json: ${instead}.`);
    return isHttp;
  }

  /** The signal's own address is used as it is; to the common one its path is added. */
  #url(signal: Signal): URL | null {
    const own = `OTEL_EXPORTER_OTLP_${signal}_ENDPOINT`;
    const common = "OTEL_EXPORTER_OTLP_ENDPOINT";
    const [ownText, commonText] = [this.get(own), this.get(common)];
    if (ownText !== null) return this.#address(own, ownText);
    const [name, base] = commonText === null ? ["otlp.endpoint", this.#configured.endpoint] : [common, commonText];
    const url = this.#address(name, base || DEFAULT_ENDPOINT);
    if (url !== null) url.pathname = `${url.pathname.replace(/\/+$/, "")}/v1/${signal.toLowerCase()}`;
    return url;
  }

  /**
   * Null for a bad one: no other takes its place, since the data would go where nobody meant them to. The address itself
   * may hold a password, so that it is not repeated.
   */
  #address(name: string, text: string): URL | null {
    if (/^https?:\/\//i.test(text) && URL.canParse(text)) return new URL(text);
    const must = `it must begin with http:// or https://, as in ${DEFAULT_ENDPOINT}`;
    this.#problems.push(`${name} can't be used: ${must}; nothing is sent instead.`);
    return null;
  }

  #headers(signal: Signal): Record<string, string> {
    const name = this.#nameOf(signal, "HEADERS");
    const given = this.pairs(name);
    const headers: Record<string, string> = {};
    for (const [key, value] of Object.entries(given ?? this.#configured.headers ?? {})) {
      if (/^[!#$%&'*+.^_`|~\w-]+$/.test(key) && /^[\t\x20-\x7e]*$/.test(value)) headers[key.toLowerCase()] = value;
      else
        this.#problems.push(
          `${given ? name : "otlp.headers"}: "${key}" can't be a header with that value; it is left out.`,
        );
    }
    return headers;
  }

  #gzip(signal: Signal): boolean {
    const name = this.#nameOf(signal, "COMPRESSION");
    const compression = this.get(name);
    if (compression === null || compression === "none" || compression === "gzip") return compression === "gzip";
    this.#problems.push(`${name} is "${compression}"; it must be gzip or none, and none is used.`);
    return false;
  }

  /** From `min` to a day; `usual` when it is not set. */
  milliseconds(name: string, min: number, usual: number): number {
    const text = this.get(name);
    if (text === null) return usual;
    const value = Number(text);
    if (Number.isInteger(value) && value >= min && value <= DURATION_MS_MAX) return value;
    const used = Number.isInteger(value) && value >= 0 && value < min ? min : usual;
    this.#problems.push(
      `${name} is "${text}"; it must be a whole number of milliseconds from ${min} to ${DURATION_MS_MAX}, and ${used} is used.`,
    );
    return used;
  }
}

function decodedPair(part: string): [key: string, value: string] | null {
  const [, key, value] = /^\s*([^=]*[^=\s])\s*=(.*)$/s.exec(part) ?? [];
  if (key === undefined || value === undefined) return null;
  try {
    return [decodeURIComponent(key), decodeURIComponent(value.trim())];
  } catch {
    return null;
  }
}
