import { readdirSync, readFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { describe, expect, it } from "vitest";
import { createRedactor } from "../../src/system/redaction.ts";
import { HARMLESS_NAMES, HARMLESS_TEXTS, join, KINDS, type Make, maker } from "./secret-kinds.ts";

/**
 * How much of what is secret is masked, and how much of what is not. Secrets of each kind stand where runs have them:
 * in logs, dumps, configurations and commands. What is harmless is generated, and every text of this package as well.
 */

const SEEDS = 8;
const ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const json = JSON.stringify;

/** Around a text that holds a secret, as tools print it. */
const SURROUNDINGS: Record<string, (text: string) => string> = {
  "log line": (text) => `2026-11-20T10:11:12.345Z INFO [worker-3] request 42 sent: ${text}`,
  "stack trace": (text) =>
    `Error: 401 ${text}\n    at send (/app/src/client.ts:42:17)\n    at main (/app/src/index.ts:7:3)`,
  "tool result": (text) => json({ role: "toolResult", content: [{ type: "text", text: `$ env\n${text}\n$ ` }] }),
  "event in an event": (text) => json({ type: "x", body: json({ message: json({ text }) }) }),
  diff: (text) => `@@ -1,2 +1,2 @@\n-${text}\n+removed`,
  markdown: (text) => `Run it so:\n\n\`\`\`sh\n${text}\n\`\`\`\n`,
  coloured: (text) => `\u001b[2mdebug\u001b[0m \u001b[33m${text}\u001b[39m`,
  list: (text) => `- first\n- ${text}\n- last`,
};

/** What says by its name that its value is secret, whatever the value looks like. */
const NAMED: Record<string, (value: string) => string> = {
  dotenv: (value) => `PORT=8080\nSHOP_API_KEY=${value}\nDEBUG=1`,
  "dotenv, quoted": (value) => `STRIPE_WEBHOOK_SECRET="${value}"`,
  export: (value) => `export NPM_AUTH_TOKEN=${value} && npm publish`,
  "docker -e": (value) => `docker run --rm -e POSTGRES_PASSWORD=${value} postgres:16`,
  compose: (value) => `    environment:\n      MYSQL_ROOT_PASSWORD: ${value}\n      TZ: UTC`,
  terraform: (value) => `provider "x" {\n  access_key = "${value}"\n}`,
  ini: (value) => `[default]\nclient_secret = ${value}\nregion = eu`,
  properties: (value) => `spring.datasource.password=${value}`,
  toml: (value) => `[registry]\ntoken = "${value}"`,
  python: (value) => `{'user': 'me', 'password': '${value}'}`,
  typescript: (value) => `const client = new Client({ apiKey: "${value}" });`,
  "go struct": (value) => `Config{User:"me" Password:"${value}"}`,
  json: (value) => json({ auth: { accessToken: value, expiresIn: 3600 } }),
  "headers dump": (value) => `> POST /v1 HTTP/1.1\n> X-Auth-Token: ${value}\n> Accept: */*`,
  "fetch headers": (value) => `headers: { 'Authorization': 'Bearer ${value}', 'Accept': '*/*' }`,
  url: (value) => `GET /callback?code=7&access_token=${value}&state=2 200 12ms`,
  form: (value) => `grant_type=password&client_secret=${value}&user=me`,
  "connection string": (value) => `Server=tcp:db;User ID=me;Password=${value};Encrypt=true`,
  amqp: (value) => `amqps://app:${value}@mq.example:5671/vhost`,
  "git remote": (value) => `origin\thttps://oauth2:${value}@git.example/team/app.git (fetch)`,
  curl: (value) => `curl -s -u deploy:${value} https://registry.example/v2/`,
  option: (value) => `vault login --token=${value}`,
  netrc: (value) => `machine git.example login me password ${value}`,
  npmrc: (value) => `//registry.example/:_authToken=${value}`,
  xml: (value) => `<add key="x"/><password>${value}</password>`,
  k8s: (value) => `stringData:\n  db-password: ${value}`,
  cookie: (value) => `Cookie: theme=dark; session=${value}`,
  said: (value) => `I used the API key ${value} for that.`,
  "process list": (value) => json(["mysql", "--password", value, "shop"]),
  "upper case": (value) => `AUTH-TOKEN: ${value}`,
};

interface Score {
  readonly missed: string[];
  tried: number;
}

/** Any eight characters of the secret in a row. */
function leaks(masked: string, secret: string): boolean {
  const plain = masked.replaceAll("\\", "");
  for (let start = 0; start + 8 <= secret.length; start++)
    if (plain.includes(secret.slice(start, start + 8))) return true;
  return false;
}

function score(texts: Iterable<readonly [kind: string, text: string, secret: string]>): Score {
  const found: Score = { missed: [], tried: 0 };
  for (const [kind, text, secret] of texts) {
    found.tried++;
    const redactor = createRedactor({ secretValues: [] });
    const masked = redactor.text(text);
    if (masked === text || leaks(masked, secret)) found.missed.push(`${kind}: ${masked}`);
  }
  return found;
}

function* shaped(): Generator<readonly [string, string, string]> {
  for (const [kind, { secret: makeSecret, forms = [(secret: string) => secret] }] of Object.entries(KINDS))
    for (const [where, around] of Object.entries(SURROUNDINGS))
      for (const [at, form] of forms.entries())
        for (let seed = 1; seed <= SEEDS; seed++) {
          const secret = makeSecret(maker(seed * 7919 + at));
          yield [`${kind}, ${where}`, around(form(secret)), secret];
        }
}

const VALUES: ((make: Make) => string)[] = [
  (make) => make(ALNUM, 32),
  (make) => make("abcdef0123456789", 40),
  (make) => make(`${ALNUM}!#%*+^~-_`, 16),
  (make) => join(make(ALNUM, 8), "-", make(ALNUM, 4), "-", make(ALNUM, 12)),
];

function* named(): Generator<readonly [string, string, string]> {
  for (const [kind, form] of Object.entries(NAMED))
    for (const [at, value] of VALUES.entries())
      for (let seed = 1; seed <= SEEDS; seed++) {
        const secret = value(maker(seed * 104_729 + at));
        yield [kind, form(secret), secret];
        yield [`${kind}, in JSON`, json({ output: form(secret) }), secret];
      }
}

function percent(part: number, whole: number): number {
  return Math.round((part / whole) * 10_000) / 100;
}

function textsBelow(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && /\.(ts|md|json|mjs)$/.test(entry.name));
  return files.map((entry) => readFileSync(joinPath(entry.parentPath, entry.name), "utf8"));
}

describe("the corpus", () => {
  it.each([
    ["secrets with a shape of their own, in surroundings", shaped],
    ["secrets that only their name tells", named],
  ])("%s: at least 95 of 100 are masked", (what, generate) => {
    const { missed, tried } = score(generate());
    const recall = percent(tried - missed.length, tried);
    console.info(`recall, ${what}: ${recall} % of ${tried}`);
    expect(recall, missed.slice(0, 40).join("\n---\n")).toBeGreaterThanOrEqual(95);
  });

  it("of what is harmless at most 2 % is touched", () => {
    const redactor = createRedactor({ secretValues: [] });
    const generated = HARMLESS_NAMES.flatMap((name) => [
      `${name}=1234`,
      `${name}: abc123def456`,
      json({ [name]: "x1" }),
    ]);
    const surrounded = Object.values(SURROUNDINGS).flatMap((around) => [...generated, ...HARMLESS_TEXTS].map(around));
    const touched = surrounded.filter((text) => redactor.text(text) !== text);
    console.info(`over-redaction, generated: ${percent(touched.length, surrounded.length)} % of ${surrounded.length}`);
    expect(percent(touched.length, surrounded.length), touched.slice(0, 20).join("\n")).toBeLessThanOrEqual(2);
  });

  it("of this package's own lines at most 0.2 % are touched", () => {
    const root = joinPath(import.meta.dirname, "../..");
    const redactor = createRedactor({ secretValues: [] });
    const folders = ["src", "docs", "agents", "teams", "workflows"].map((name) => joinPath(root, name));
    const lock = readFileSync(joinPath(root, "package-lock.json"), "utf8");
    const lines = [...folders.flatMap(textsBelow), lock].flatMap((text) => text.split("\n"));
    const touched = lines.filter((line) => redactor.text(line) !== line);
    console.info(`over-redaction, own lines: ${percent(touched.length, lines.length)} % of ${lines.length}`);
    expect(percent(touched.length, lines.length), touched.slice(0, 40).join("\n")).toBeLessThanOrEqual(0.2);
  });
});
