import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
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

  it("is not needed for a file that has no end", async () => {
    const files = new MemoryFiles({ "/p/.crew/config.json": `"${"x".repeat(2 ** 21)}"` });
    const { config, problems } = await loadConfig(files, "/agent", "/p");
    expect(config).toEqual(DEFAULT_CONFIG);
    expect(problems).toMatchObject([{ message: expect.stringContaining("can't be read (EFBIG") }]);
  });
});
