import { describe, expect, it } from "vitest";
import { collectSecretValues, createRedactor } from "../../src/system/redaction.ts";
import { ANYWHERE, BASE64, HARMLESS_NAMES, HARMLESS_TEXTS, join, KINDS, maker, pem } from "./secret-kinds.ts";

const SEEDS = 12;
const json = JSON.stringify;

describe("recall on the seeded corpus", () => {
  it.each(Object.entries(KINDS))("%s: at least 99 %%", (_kind, { secret: makeSecret, forms = ANYWHERE }) => {
    const missed: string[] = [];
    let tried = 0;
    for (let seed = 1; seed <= SEEDS; seed++) {
      for (const [index, form] of forms.entries()) {
        const secret = makeSecret(maker(seed * 1000 + index));
        const text = form(secret);
        const redactor = createRedactor({ secretValues: [] });
        for (const masked of [redactor.text(text), redactor.value({ lines: [text] }).lines[0] ?? ""]) {
          tried++;
          // Nothing longer than a shape's prefix may be left, not even of an escaped form.
          if (masked === text || leaks(masked, secret)) missed.push(masked);
          expect(createRedactor({ secretValues: [] }).text(masked)).toBe(masked);
        }
        if (text.startsWith("{")) expect(() => JSON.parse(redactor.text(text))).not.toThrow();
      }
    }
    expect(missed.length / tried, missed.slice(0, 3).join("\n")).toBeLessThanOrEqual(0.01);
  });
});

describe("what must stay", () => {
  const redactor = createRedactor({ secretValues: [] });
  it.each(HARMLESS_NAMES)("%s", (name) => {
    for (const value of ["some words", "abc123def456", 42, true, null])
      expect(redactor.value({ [name]: value })).toEqual({ [name]: value });
    for (const text of [
      `${name}=1234`,
      `${name}: abc123def456`,
      json({ [name]: "abc123def456" }),
      `--${name} abc123def456`,
    ])
      expect(redactor.text(text)).toBe(text);
  });
  it.each(HARMLESS_TEXTS)("%s", (text) => {
    expect(redactor.text(text)).toBe(text);
    expect(redactor.value([{ text }])).toEqual([{ text }]);
  });
  it("counted nothing", () => expect(redactor.count()).toEqual({}));
});

describe("value", () => {
  it("masks strings under secret keys, never numbers and booleans", () => {
    const labels = { auth_token: "x", clientSecret: "y", password: 7, apiKey: true, secret: "", tokens_total: "5" };
    const masked = { auth_token: "***", clientSecret: "***", password: 7, apiKey: true, secret: "", tokens_total: "5" };
    const redactor = createRedactor({ secretValues: [] });
    expect(redactor.value(labels)).toEqual(masked);
    expect(redactor.value(masked)).toEqual(masked);
    expect(redactor.count()).toEqual({ key: 2 });
  });

  it("masks all below a secret key, named values and what follows a secret option", () => {
    const { value } = createRedactor({ secretValues: [] });
    expect(value({ credentials: { user: "me", uses: 3, list: ["a"] } })).toEqual({
      credentials: { user: "***", uses: 3, list: ["***"] },
    });
    expect(value({ name: "API_KEY", value: "x" })).toEqual({ name: "API_KEY", value: "***" });
    expect(value(["--token", "abc", "--verbose", "abc"])).toEqual(["--token", "***", "--verbose", "abc"]);
  });

  it("survives cycles, depth, shared parts, __proto__ and what is not plain", () => {
    const { value } = createRedactor({ secretValues: [] });
    const cyclic: Record<string, unknown> = { a: 1 };
    cyclic["self"] = cyclic;
    expect(value(cyclic)).toEqual({ a: 1, self: "[circular]" });
    let deep: unknown = "end";
    for (let level = 0; level < 10_000; level++) deep = { deep };
    expect(json(value(deep))).toContain("[too deep]");
    let wide: unknown = "end";
    for (let level = 0; level < 40; level++) wide = [wide, wide];
    expect(value(wide)).toHaveLength(2);
    const planted: unknown = JSON.parse('{"__proto__":{"polluted":true}}');
    expect(json(value(planted))).toBe('{"__proto__":{"polluted":true}}');
    const date = new Date(0);
    expect(value([date, Buffer.from("x"), undefined, 1n])).toEqual([date, "[binary]", undefined, 1n]);
    expect(value({ error: new TypeError("DB_PASSWORD=hunter2") })).toEqual({
      error: { name: "TypeError", message: "DB_PASSWORD=[REDACTED:assigned]" },
    });
  });

  it("leaves its input as it was", () => {
    const given = Object.freeze({ token: "x", list: Object.freeze(["DB_PASSWORD=hunter2"]) });
    createRedactor({ secretValues: [] }).value(given);
    expect(given).toEqual({ token: "x", list: ["DB_PASSWORD=hunter2"] });
  });
});

describe("known values", () => {
  const odd = 'pl"ain/odd value+ü\\x';
  it.each([
    ["plain", odd],
    ["in JSON", json({ note: odd })],
    ["in a URL", `https://host.example/${encodeURIComponent(odd)}`],
    ["base64", Buffer.from(odd).toString("base64")],
    ["base64url", Buffer.from(odd).toString("base64url")],
    ["base64, one byte in", Buffer.from(`u${odd}:`).toString("base64")],
    ["base64, two bytes in", Buffer.from(`us${odd}:`).toString("base64")],
  ])("%s", (_form, text) => {
    const redactor = createRedactor({ secretValues: [odd] });
    expect(redactor.text(`<${text}>`)).toContain("[REDACTED:known-value]");
    expect(redactor.count()).toEqual({ "known-value": 1 });
  });

  it("masks the longer one whole, and leaves what is too short to tell", () => {
    const { text } = createRedactor({ secretValues: ["abcdefgh", "abcdefghijkl", "short"] });
    expect(text("abcdefghijkl short")).toBe("[REDACTED:known-value] short");
  });

  it("masks a known key line by line", () => {
    const lines = pem(maker(7)(BASE64, 64));
    const { text } = createRedactor({ secretValues: [lines] });
    expect(text(lines.split("\n")[1] ?? "")).toBe("[REDACTED:known-value]");
  });

  it("collects by the rule for names", () => {
    const env = {
      MY_ODD_TOKEN: "value-one",
      SHOP_PASSWORD_PROD: "value-two",
      PGPASSWORD: "value-three",
      SHORT_TOKEN: "abc",
      HOME: "/home/someone",
      MAX_TOKENS: "100000000",
      GOOGLE_APPLICATION_CREDENTIALS: "/home/someone/key.json",
      PWD: "/home/someone/project",
      OLDPWD: "/home/someone",
      GONE_SECRET: undefined,
    };
    expect(collectSecretValues(env)).toEqual(["value-one", "value-two", "value-three"]);
  });
});

describe("hostile text of 200 kB", () => {
  const parts = [
    "a",
    "-",
    "=",
    ":",
    '"',
    "\\",
    '\\"',
    " ",
    "\n",
    "token",
    "token:",
    "token=",
    "token: ",
    "cookie: ",
    "cookie:",
    'token="',
    'token:\\"',
    "eyJ",
    "eyJa.",
    "eyJ-",
    "eyJaaaaaaaaaa.eyJaaaaaaaaa",
    "sk-",
    "SG.",
    "SG.aaaaaaaaaaaaaaaaaaaa",
    "://",
    "://a:",
    "http://a",
    "https://a:b",
    "bearer ",
    "bearer aaaaaaaaaaaaaaaaaaaaaa ",
    "curl ",
    "curl -u ",
    "curl -u a",
    "?key=",
    "password is ",
    "--token ",
    join("-----BEGIN PRIVATE", " KEY-----"),
    "-----BEGIN ",
    "A1",
    "\\u001b",
    "[31m",
    "%3A",
    "token%3A",
    "api",
    "aA",
    "<",
    "{",
    "12345678:",
    "Maaaaaaaaaaaaaaaaaaaaaaa.",
    "hooks.slack.com/",
  ];
  it.each(parts)("%j", { timeout: 30_000 }, (part) => {
    const text = part.repeat(Math.ceil(200_000 / part.length));
    const redactor = createRedactor({ secretValues: ["abcdefgh"] });
    for (const end of ["", "!", "\n"]) expect(typeof redactor.text(text + end)).toBe("string");
    expect(redactor.value({ [text]: text })).toBeTypeOf("object");
  });
});

/** Any eight characters of the secret in a row, as written or escaped. */
function leaks(masked: string, secret: string): boolean {
  for (let start = 0; start + 8 <= secret.length; start++)
    if (masked.includes(secret.slice(start, start + 8))) return true;
  return masked.includes(json(secret).slice(1, -1));
}
