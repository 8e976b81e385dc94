import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";
import { openRedactor } from "../../src/system/redaction-sources.ts";

const KNOWN = "[REDACTED:known-value]";

async function folderWith(files: Record<string, unknown>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "foreman-secrets-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), JSON.stringify(content));
  return folder;
}

const open = (agentDir: string, env: Record<string, string> = {}) =>
  openRedactor({ files: nodeFiles(), env, agentDir });

describe("the secrets of the agent folder", () => {
  it("are the logins and keys of auth.json, also behind a link, and no other words of it", async () => {
    const elsewhere = await folderWith({
      "auth.json": {
        copilot: {
          type: "oauth",
          access: "tid=1;exp=17",
          refresh: "ghu-renew-0001",
          expires: 1,
          enterpriseUrl: "corp1.example",
        },
        house: { type: "api_key", key: "house-key-0001" },
      },
    });
    const folder = await folderWith({});
    await symlink(join(elsewhere, "auth.json"), join(folder, "auth.json"));
    const { text } = await open(folder);
    for (const secret of ["tid=1;exp=17", "ghu-renew-0001", "house-key-0001"]) expect(text(secret)).toBe(KNOWN);
    for (const word of ["api_key", "copilot", "corp1.example"]) expect(text(word)).toBe(word);
  });

  it("are read anew when the host renews them; the old ones stay secret, half a file changes nothing", async () => {
    const folder = await folderWith({});
    const { text } = await open(folder);
    expect(text("login-one-0001")).toBe("login-one-0001");
    const path = join(folder, "auth.json");
    await writeFile(path, JSON.stringify({ a: { access: "login-one-0001" } }));
    expect(text("login-one-0001")).toBe(KNOWN);
    await writeFile(path, '{"a":{"access":"login-tw');
    expect(text("login-one-0001")).toBe(KNOWN);
    await writeFile(path, JSON.stringify({ a: { access: "login-two-00022" } }));
    expect(text("login-two-00022 login-one-0001")).toBe(`${KNOWN} ${KNOWN}`);
  });

  it("are what models.json and crew.json mean: a variable's value, a header, no placeholder and no command", async () => {
    const folder = await folderWith({
      "models.json": {
        providers: {
          named: { apiKey: "HOUSE_VARIABLE" },
          template: { headers: { "X-Team": ["prefix-$", "{TEAM_VARIABLE}"].join(""), "X-Title": "our-own-pi" } },
          literal: { apiKey: "literal-0001", headers: { authorization: "Bearer scheme-0001" } },
          local: { apiKey: "lm-studio" },
          asked: { apiKey: "!pass show model7" },
        },
      },
      "crew.json": {
        otlp: { headers: { "x-honeycomb-team": "hny-0001" } },
        notifications: { webhookUrl: "https://hook7.example/a1" },
      },
    });
    const { text } = await open(folder, { HOUSE_VARIABLE: "by-variable-1", TEAM_VARIABLE: "in-template-1" });
    for (const secret of ["by-variable-1", "in-template-1", "literal-0001", "scheme-0001", "hny-0001"])
      expect(text(secret)).toBe(KNOWN);
    expect(text("to https://hook7.example/a1")).toBe(`to ${KNOWN}`);
    for (const word of ["HOUSE_VARIABLE", "lm-studio", "our-own-pi", "!pass show model7"])
      expect(text(word)).toBe(word);
  });
});

describe("the secrets of the environment", () => {
  it("are by name, in addresses and in lists of headers; a single word is none", async () => {
    const { text } = await open(await folderWith({}), {
      SHOP_TOKEN: "odd value/7",
      DATABASE_URL: "postgres://app:p4ss-of-db@db.example/shop",
      OTEL_EXPORTER_OTLP_HEADERS: "x-team=team7key,accept=all",
      PI_FOREMAN_OTLP_HEADERS: '{"authorization":"Bearer our-own-7-key"}',
      PI_FOREMAN_NOTIFICATIONS_WEBHOOK_URL: "https://hook8.example/b2",
      PGPASSWORD: "postgres",
    });
    for (const secret of [
      "odd value/7",
      "p4ss-of-db",
      "team7key",
      "our-own-7-key",
      "https://hook8.example/b2",
      "odd+value%2F7",
      "odd%20value%2f7",
    ])
      expect(text(secret), secret).toBe(KNOWN);
    for (const word of ["postgres", "shop", "accept"]) expect(text(word)).toBe(word);
  });
});
