import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { readOtlpEnvironment } from "../../src/export/otlp-environment.ts";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { USER_ONLY } from "../../src/host/config-file.ts";
import { CONFIG_SCHEMA } from "../../src/host/config-schema.ts";
import { loadConfig } from "../../src/host/load-config.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const DOCS = join(import.meta.dirname, "../../docs");
const PUBLISHED = join(DOCS, "config.schema.json");

interface Schema {
  properties?: Record<string, Schema>;
  default?: unknown;
  description?: string;
}

const schema: Schema = JSON.parse(JSON.stringify(CONFIG_SCHEMA));

/** The values of the schema, by path. */
function leaves(section: Schema, prefix = ""): [path: string, leaf: Schema][] {
  return Object.entries(section.properties ?? {}).flatMap(([key, value]) =>
    value.properties ? leaves(value, `${prefix}${key}.`) : [[`${prefix}${key}`, value] as [string, Schema]],
  );
}

function defaultsOf(section: Schema): unknown {
  if (!section.properties) return section.default;
  return Object.fromEntries(Object.entries(section.properties).map(([key, value]) => [key, defaultsOf(value)]));
}

/** For editors: nothing has to be there, and what is not known is told. */
function forEditors(section: Schema): Schema {
  const { required: _all, ...rest } = section as Schema & { required?: string[] };
  if (!section.properties) return rest;
  const properties = Object.entries(section.properties).map(([key, value]) => [key, forEditors(value)] as const);
  return { ...rest, properties: Object.fromEntries(properties), additionalProperties: false } as Schema;
}

function loaded(mine: object, theirs: object = {}, env: Record<string, string> = {}) {
  const files = { "/agent/crew.json": JSON.stringify(mine), "/p/.crew/config.json": JSON.stringify(theirs) };
  return loadConfig(new MemoryFiles(files), "/agent", "/p", env);
}

describe("the configuration's schema", () => {
  it("has the very defaults that hold without a file", () => {
    expect(defaultsOf(schema)).toEqual(DEFAULT_CONFIG);
  });

  it("says for every value what it is for", () => {
    for (const [path, { description }] of leaves(schema)) expect(description, path).toMatch(/\.$/);
  });

  it("is published for editors: FOREMAN_UPDATE=1 npx vitest run test/host/config-schema.test.ts", () => {
    const { properties, ...rest } = forEditors(schema) as Schema & { properties: Record<string, Schema> };
    const published = {
      $schema: "http://json-schema.org/draft-07/schema#",
      title: "pi-foreman's crew.json and .crew/config.json",
      ...rest,
      // editors write the reference into the file itself
      properties: { $schema: { type: "string" }, ...properties },
    };
    if (process.env["FOREMAN_UPDATE"]) writeFileSync(PUBLISHED, `${JSON.stringify(published, null, 2)}\n`);
    expect(JSON.parse(readFileSync(PUBLISHED, "utf8"))).toEqual(published);
  });

  it("is told in docs/configuration.md, value by value", () => {
    const text = readFileSync(join(DOCS, "configuration.md"), "utf8");
    const rows = new Map(
      [...text.matchAll(/^\| `([\w.]+)` \| `([^`]*)` \| (.*) \|$/gm)].map(([, path, value, says]) => [
        path,
        { value: JSON.parse(value ?? ""), userOnly: /only your own/.test(says ?? "") },
      ]),
    );
    const wanted = leaves(schema).map(
      ([path, leaf]) => [path, { value: leaf.default, userOnly: USER_ONLY.has(path) }] as const,
    );
    expect(rows).toEqual(new Map(wanted));
  });

  it("may be named in the file", async () => {
    const files = new MemoryFiles({
      "/p/.crew/config.json": '{"$schema":"./config.schema.json","observability":{"enabled":false}}',
    });
    const { config, problems } = await loadConfig(files, "/agent", "/p");
    expect(problems).toEqual([]);
    expect(config.observability.enabled).toBe(false);
  });

  it("takes the one engine there is, from any of the places, and names what it does not take", async () => {
    const fine = await loaded({ engine: "local" }, { engine: "local" }, { PI_FOREMAN_ENGINE: "local" });
    expect(fine).toEqual({ config: DEFAULT_CONFIG, problems: [] });
    const { config, problems } = await loaded({}, { engine: "bullmq" }, { PI_FOREMAN_ENGINE: "bullmq" });
    expect(config.engine).toBe("local");
    const files = ["/p/.crew/config.json", "the environment"];
    expect(problems).toEqual(
      files.map((file) => ({
        file,
        path: "engine",
        message: `engine = "bullmq" in ${file} can't be used: it must be "local", the only one there is; "local" is used.`,
      })),
    );
  });

  it("takes heartbeat limits that ascend, over both files, and says which ones it did not take", async () => {
    const load = (mine: string, theirs: string) =>
      loadConfig(
        new MemoryFiles({
          "/agent/crew.json": `{"reliability":{"heartbeat":${mine}}}`,
          "/p/.crew/config.json": `{"reliability":{"heartbeat":${theirs}}}`,
        }),
        "/agent",
        "/p",
      );
    const fine = await load('{"warnMs":1000,"staleMs":2000,"deadMs":9000}', '{"deadMs":3000}');
    expect(fine.problems).toEqual([]);
    expect(fine.config.reliability.heartbeat).toEqual({ warnMs: 1000, staleMs: 2000, deadMs: 3000 });
    const low = await load('{"warnMs":999}', "{}");
    expect(low.problems).toMatchObject([{ path: "reliability.heartbeat.warnMs" }]);
    for (const [mine, theirs, file] of [
      ['{"deadMs":60000}', "{}", "/agent/crew.json"],
      ['{"staleMs":40000}', '{"warnMs":40000}', "/p/.crew/config.json"],
    ] as const) {
      const { config, problems } = await load(mine, theirs);
      expect(problems, mine).toHaveLength(1);
      expect(problems[0]).toMatchObject({ file, path: "reliability.heartbeat" });
      expect(problems[0]?.message).toMatch(/^reliability\.heartbeat = \{"warnMs".* in \/.* warnMs < staleMs < deadMs/);
      expect(config.reliability.heartbeat).toMatchObject({ warnMs: 30_000, deadMs: 300_000 });
    }
  });

  it("takes buckets from both files and the environment together, for each metric the last", async () => {
    const { config, problems } = await loaded(
      { observability: { buckets: { "crew.task.duration_ms": [1, 2], "crew.run.duration_ms": [3] } } },
      { observability: { buckets: { "crew.run.duration_ms": [4], "crew.task.retry_count": [5] } } },
      { PI_FOREMAN_OBSERVABILITY_BUCKETS: '{"crew.task.retry_count":[6]}' },
    );
    expect(problems).toEqual([]);
    expect(config.observability.buckets).toEqual({
      "crew.task.duration_ms": [1, 2],
      "crew.run.duration_ms": [4],
      "crew.task.retry_count": [6],
    });
    expect(DEFAULT_CONFIG.observability.buckets).toEqual({});
  });

  it("names each entry of the buckets that can't be used, and takes the others", async () => {
    const { config, problems } = await loaded(
      { observability: { buckets: { "crew.task.duration_ms": [1000], "crew.run.duration_ms": "slow" } } },
      { observability: { buckets: { "crew.task.duration_ms": [1, "2"], "crew.session.tool_duration_ms": [5] } } },
    );
    expect(problems).toEqual([
      {
        file: "/agent/crew.json",
        path: "observability.buckets.crew.run.duration_ms",
        message:
          'observability.buckets.crew.run.duration_ms = "slow" in /agent/crew.json can\'t be used: it must be a list of numbers; it is left out.',
      },
      {
        file: "/p/.crew/config.json",
        path: "observability.buckets.crew.task.duration_ms",
        message:
          'observability.buckets.crew.task.duration_ms = [1,"2"] in /p/.crew/config.json can\'t be used: it must be a list of numbers; [1000] is used.',
      },
    ]);
    expect(config.observability.buckets).toEqual({
      "crew.task.duration_ms": [1000],
      "crew.session.tool_duration_ms": [5],
    });
  });

  it.each([
    [{ observability: { buckets: [1] } }, "it must be an object with a list of numbers for each name; {} is used."],
    [{ otlp: { headers: { a: 1 } } }, "it must be an object with a text for each name; {} is used."],
    [{ notifications: { command: "beep" } }, "it must be a list of texts; [] is used."],
    [{ telemetry: { enabled: 1 } }, "it must be a boolean; true is used."],
    [{ engine: "bullmq" }, 'it must be "local", the only one there is; "local" is used.'],
    [{ engine: { kind: "local" } }, 'it must be "local", the only one there is; "local" is used.'],
  ])("says of %j what it must be", async (mine, says) => {
    const { problems } = await loaded(mine);
    expect(problems.map(({ message }) => message)).toEqual([expect.stringContaining(`can't be used: ${says}`)]);
  });

  it.each(["localhost:4318", " http://c", "http:c", 4318, ["http://c"], null])(
    "lets nothing be sent to another place than the endpoint %j that can't be used",
    async (endpoint) => {
      const { config, problems } = await loaded({ otlp: { enabled: true, endpoint } });
      expect(problems).toEqual([
        {
          file: "/agent/crew.json",
          path: "otlp.endpoint",
          message:
            `otlp.endpoint = ${JSON.stringify(endpoint)} in /agent/crew.json can't be used: it must begin with http:// or ` +
            "https://; nothing is sent by OTLP, unless OTEL_EXPORTER_OTLP_ENDPOINT says where.",
        },
      ]);
      expect(readOtlpEnvironment({}, config.otlp)).toEqual({
        settings: null,
        problems: [expect.stringContaining("otlp.endpoint can't be used: it must begin with http:// or https://")],
      });
      const elsewhere = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://c:1" };
      expect(readOtlpEnvironment(elsewhere, config.otlp).settings?.metrics?.url.href).toBe("http://c:1/v1/metrics");
    },
  );

  it("takes the endpoint of a later place, and one in capitals", async () => {
    const { config, problems } = await loaded({ otlp: { endpoint: "HTTPS://C" } });
    expect([config.otlp.endpoint, problems]).toEqual(["HTTPS://C", []]);
    const mended = await loaded({ otlp: { endpoint: "c" } }, {}, { PI_FOREMAN_OTLP_ENDPOINT: "http://d" });
    expect(mended.config.otlp.endpoint).toBe("http://d");
    const planted = await loaded({ otlp: { endpoint: "http://c" } }, { otlp: { endpoint: "elsewhere" } });
    expect(planted.config.otlp.endpoint).toBe("http://c");
  });

  it("is not needed for a file that has no end", async () => {
    const files = new MemoryFiles({ "/p/.crew/config.json": `"${"x".repeat(2 ** 21)}"` });
    const { config, problems } = await loadConfig(files, "/agent", "/p");
    expect(config).toEqual(DEFAULT_CONFIG);
    expect(problems).toMatchObject([{ message: expect.stringContaining("can't be read (EFBIG") }]);
  });
});
