import { readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import { DEFAULT_CONFIG } from "../../src/host/config.ts";
import { loadConfig } from "../../src/host/load-config.ts";
import { SETTINGS, valueAt, withValue } from "../../src/host/settings.ts";
import type { Files } from "../../src/system/world.ts";
import { makeRig } from "../support/rig.ts";
import type { DialogAnswer, HostEvent } from "../support/rpc-host.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const USER = { path: "crew.json", origin: "user" } as const;

async function opened(files: Record<string, string> = {}, answerDialog?: (request: HostEvent) => DialogAnswer | null) {
  const rig = await makeRig(() => ({ text: "never asked" }), { files });
  const host = await rig.rpc({ extensions: [PACKAGE], ...(answerDialog ? { answerDialog } : {}) });
  return { host, agentDir: rig.agentFolder.agent, project: rig.agentFolder.project };
}

it("each setting has a default that the schema allows", () => {
  for (const { path, default: value } of SETTINGS) {
    expect(value, path).toBe(valueAt(DEFAULT_CONFIG, path));
    expect(withValue({}, path, value, USER, DEFAULT_CONFIG).problems, path).toEqual([]);
  }
  expect(SETTINGS.map(({ path }) => path)).toContain("reliability.retryPolicy.maxAttempts");
});

it("what nobody has set can't be changed by who reads it", async () => {
  const files = { readText: async () => null } as unknown as Files;
  const [one, two] = [await loadConfig(files, "/agent", "/project", {}), await loadConfig(files, "/a", "/p", {})];
  expect(one).toEqual({ config: DEFAULT_CONFIG, problems: [] });
  expect(Object.isFrozen(one.config)).toBe(true);
  expect(one.config.limits).not.toBe(two.config.limits);
});

it("a variable counts in whatever case, as on Windows", async () => {
  const files = { readText: async () => null } as unknown as Files;
  const exact: Record<string, string> = { pi_foreman_http_port: "9999" };
  const env = new Proxy(exact, { get: (of, name) => of[String(name).toLowerCase()] });
  expect((await loadConfig(files, "/agent", "/project", env)).config.http.port).toBe(9999);
});

it("a variable that names no setting is told, without its value, and with those there are", async () => {
  const files = { readText: async () => null } as unknown as Files;
  const problemsOf = async (env: Record<string, string>) =>
    (await loadConfig(files, "/agent", "/project", env)).problems.map(({ message }) => message);
  expect(await problemsOf({ PI_FOREMAN_HTTP_PROT: "9999", PI_FOREMAN_HTTP_PORT: "9", PI_FOREMAN_DEPTH: "1" })).toEqual([
    "PI_FOREMAN_HTTP_PROT in the environment is not known; there are PI_FOREMAN_HTTP_PORT, PI_FOREMAN_HTTP_HOST.",
  ]);
  const [other] = await problemsOf({ PI_FOREMAN_OLTP_HEADERS: '{"authorization":"abc-secret"}' });
  expect(other).toMatch(/^PI_FOREMAN_OLTP_HEADERS in the environment is not known; .* PI_FOREMAN_OTLP_\*, /);
  expect(other).not.toContain("abc-secret");
  const [below] = await problemsOf({ PI_FOREMAN_ENGINE_KIND: "local" });
  expect(below).toMatch(/^PI_FOREMAN_ENGINE_KIND in the environment is not known; there are .*, PI_FOREMAN_ENGINE\.$/);
  // an empty one sets nothing
  expect(await problemsOf({ PI_FOREMAN_HTTP_PROT: "", FOREMAN_GOAL: "x" })).toEqual([]);
});

it("a variable in another case is one only where the system takes it", async () => {
  const files = { readText: async () => null } as unknown as Files;
  const exact: Record<string, string> = { pi_foreman_http_port: "9999", Pi_Foreman_Depth: "1", pi_foreman_no: "1" };
  const env = new Proxy(exact, {
    get: (of, name) => Object.entries(of).find(([key]) => key.toLowerCase() === String(name).toLowerCase())?.[1],
  });
  const told = async (given: NodeJS.ProcessEnv) =>
    (await loadConfig(files, "/agent", "/project", given)).problems.map(({ path }) => path);
  expect(await told(env)).toEqual(["pi_foreman_no"]);
  expect(await told(exact)).toEqual(["pi_foreman_http_port", "Pi_Foreman_Depth", "pi_foreman_no"]);
});

it("the environment wins over both files, and what it holds is checked like them", async () => {
  const rig = await makeRig(() => ({ text: "never asked" }), {
    files: { ".crew/config.json": '{"limits":{"maxParallelAttempts":2,"maxTokens":7}}' },
  });
  const env = {
    PI_FOREMAN_LIMITS_MAX_PARALLEL_ATTEMPTS: "9",
    PI_FOREMAN_LIMITS_MAX_TOKENS: "many",
    PI_FOREMAN_LIMITS_TOKENS: "5",
    PI_FOREMAN_OTLP_ENABLED: "true",
    PI_FOREMAN_OTLP_ENDPOINT: "localhost:4318",
    OTEL_TRACES_EXPORTER: "none",
  };
  const host = await rig.rpc({ extensions: [PACKAGE], env });
  const limits = await say(host, "/team-settings limits");
  expect(limits).toMatch(/maxParallelAttempts +9 {2}\(environment\)/);
  expect(limits).toMatch(/maxTokens +7 {2}\(project\)/);
  const doctor = await say(host, "/team-doctor");
  for (const said of [limits, await say(host, "/team-settings limits.maxTokens"), doctor])
    expect(said).toContain('limits.maxTokens = "many" in the environment');
  expect(doctor).toContain("PI_FOREMAN_LIMITS_TOKENS in the environment is not known; there are PI_FOREMAN_LIMITS_MAX");
  expect(doctor).toContain('otlp.endpoint = "localhost:4318" in the environment can\'t be used');
  expect(doctor).toContain('OTEL_TRACES_EXPORTER is "none"');
  expect(doctor).not.toMatch(/OTLP (metrics|traces) to/);
  expect(await say(host, "/team-settings limits.maxTokens")).toContain("PI_FOREMAN_LIMITS_MAX_TOKENS");
});

it("/team-settings writes one value, keeps the rest of the file, and says what holds", async () => {
  const { host, agentDir, project } = await opened({ ".crew/config.json": '{"limits":{"maxParallelAttempts":2}}' });
  const file = join(agentDir, "crew.json");
  const mine = { otlp: { headers: { authorization: "Bearer abc-secret" } }, own: "kept" };
  writeFileSync(join(agentDir, "real.json"), JSON.stringify(mine));
  symlinkSync("real.json", file);
  expect(await say(host, "/team-settings limits.attemptTimeoutSec 60")).toMatch(
    /= 60 is written to .*real\.json\. 60, from .*crew\.json, holds from the next session on/,
  );
  expect(JSON.parse(readFileSync(join(agentDir, "real.json"), "utf8"))).toEqual({
    ...mine,
    limits: { attemptTimeoutSec: 60 },
  });
  // what a project sets wins over the user's own
  expect(await say(host, "/team-settings limits.maxParallelAttempts 8")).toMatch(/2, from \.crew\/config\.json, holds/);
  const section = await say(host, "/team-settings limits");
  expect(section).toMatch(/limits\.maxParallelAttempts +2 {2}\(project\)/);
  expect(section).toMatch(/limits\.attemptTimeoutSec +60 {2}\(user\)/);
  expect(section).toMatch(/limits\.maxTokens +0$/m);
  const headers = await say(host, "/team-settings otlp.headers");
  expect(headers).toContain("***");
  expect(headers).not.toContain("abc-secret");
  const secrets = [
    "otlp.headers abc-secret",
    'otlp {"headers":"abc-secret"}',
    'notifications.webhookUrl [1,"abc-secret"]',
    "otlp.headers {} --project",
  ];
  for (const given of secrets) expect(await say(host, `/team-settings ${given}`)).not.toContain("abc-secret");
  // a slip of the pen, too
  const written = readFileSync(join(agentDir, "real.json"), "utf8");
  writeFileSync(join(agentDir, "real.json"), JSON.stringify({ ...mine, otlp: { header: mine.otlp.headers } }));
  const doctor = await say(host, "/team-doctor");
  expect(doctor).toMatch(/otlp\.header in .*crew\.json is not known; there are enabled, /);
  expect(doctor).not.toContain("abc-secret");
  writeFileSync(join(agentDir, "real.json"), written);
  await say(host, "/team-settings limits.attemptTimeoutSec --default");
  await say(host, "/team-settings limits.maxTokens 5000 --project");
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ ...mine, limits: { maxParallelAttempts: 8 } });
  expect(JSON.parse(readFileSync(join(project, ".crew/config.json"), "utf8"))).toEqual({
    limits: { maxParallelAttempts: 2, maxTokens: 5000 },
  });
});

it("/team-settings writes nothing that can't be used, and not over a file it can't read", async () => {
  const { host, agentDir } = await opened({ ".crew/config.json": "{}" });
  const file = join(agentDir, "crew.json");
  writeFileSync(file, "{}");
  expect(await say(host, "/team-settings limits.maxParallelAttempts many")).toMatch(
    /Nothing was written: limits\.maxParallelAttempts = "many" .* must be a whole number from 1 to 64/,
  );
  expect(await say(host, "/team-settings reliability.heartbeat.deadMs 2000")).toContain("warnMs < staleMs < deadMs");
  expect(await say(host, "/team-settings http.host 0.0.0.0 --project")).toContain("a project can't set it");
  expect(await say(host, '/team-settings observability.buckets {"crew.a.b":[1],"crew.a.c":2}')).toContain(
    "Nothing was written: observability.buckets.crew.a.c = 2 ",
  );
  expect(await say(host, "/team-settings otlp.endpoint localhost:4318")).toMatch(/^Nothing was written: .* http:\/\//);
  expect(await say(host, "/team-settings limit 5")).toContain('no setting "limit". Sections: observability');
  expect(readFileSync(file, "utf8")).toBe("{}");
  writeFileSync(file, "{ broken");
  expect(await say(host, "/team-settings limits.maxTokens 5")).toMatch(/crew\.json can't be read.*Mend or remove it/);
  expect(readFileSync(file, "utf8")).toBe("{ broken");
});

it("/team-settings knows a value that is in no section", async () => {
  const { host, agentDir } = await opened({ ".crew/config.json": '{"engine":"local"}' }, (request) => {
    const options = request["options"] as string[];
    return { value: options.find((option) => option === "engine" || option === "local") ?? "" };
  });
  expect(await say(host, "/team-settings engine")).toMatch(
    /^engine = "local" \(from \.crew\/config\.json; by default "local"\)\n.* Environment: PI_FOREMAN_ENGINE\./,
  );
  expect(await say(host, "/team-settings engine bullmq")).toMatch(
    /^Nothing was written: engine = "bullmq" in .*crew\.json can't be used: it must be "local", the only one there is/,
  );
  expect(await say(host, "/team-settings limit 5")).toMatch(/Sections: observability, .*, notifications, engine\./);
  expect(await say(host, "/team-settings")).toContain('engine = "local" is written to');
  expect(JSON.parse(readFileSync(join(agentDir, "crew.json"), "utf8"))).toEqual({ engine: "local" });
  expect(await say(host, "/team-doctor")).not.toContain("engine");
});

it("/team-settings asks where there are dialogs", async () => {
  const asked: HostEvent[] = [];
  const { host, agentDir } = await opened({}, (request) => {
    asked.push(request);
    if (request["method"] === "input") return { value: "12" };
    const options = request["options"] as string[];
    const wanted = (option: string) => option === "reliability" || option.startsWith("reliability.deadletterThreshold");
    return { value: options.find(wanted) ?? "" };
  });
  expect(await say(host, "/team-settings")).toContain("reliability.deadletterThreshold = 12 is written");
  expect(asked.map(({ method }) => method)).toEqual(["select", "select", "input"]);
  // a client that shows no dialogs answers none
  expect(asked.map(({ timeout }) => typeof timeout)).toEqual(["number", "number", "number"]);
  expect(JSON.parse(readFileSync(join(agentDir, "crew.json"), "utf8"))).toEqual({
    reliability: { deadletterThreshold: 12 },
  });
  host.answerDialog = () => ({ cancelled: true });
  const before = readFileSync(join(agentDir, "crew.json"), "utf8");
  expect(await say(host, "/team-settings")).toContain("Read from");
  expect(readFileSync(join(agentDir, "crew.json"), "utf8")).toBe(before);
});

it("/team-init copies a team, over nothing that is there, and not through a link", async () => {
  const own = readFileSync(resolve(import.meta.dirname, "../../teams/fast-fix.team.md"), "utf8").replace(
    "For one bug",
    "Mine",
  );
  const { host, project } = await opened({
    ".crew/agents/explorer.md": "---\nname: explorer\ndescription: mine\n---\nMine.",
  });
  const said = await say(host, "/team-init fast-fix");
  expect(said).toMatch(/written +\.crew\/teams\/fast-fix\.team\.md/);
  expect(said).toMatch(/written +\.crew\/workflows\/fast-fix\.workflow\.md/);
  expect(said).toMatch(/there +\.crew\/agents\/explorer\.md/);
  expect(readFileSync(join(project, ".crew/agents/explorer.md"), "utf8")).toContain("Mine.");
  writeFileSync(join(project, ".crew/teams/fast-fix.team.md"), own);
  expect(await say(host, "/team-init fast-fix")).toMatch(/there +\.crew\/teams/);
  expect(readFileSync(join(project, ".crew/teams/fast-fix.team.md"), "utf8")).toBe(own);
  expect(await say(host, "/team-init nonsense")).toContain('no team called "nonsense"');

  const linked = await opened();
  await mkdir(join(linked.project, "elsewhere"));
  await mkdir(join(linked.project, ".crew"), { recursive: true });
  symlinkSync("../elsewhere", join(linked.project, ".crew/teams"));
  expect(await say(linked.host, "/team-init review")).toContain("Nothing was written");

  const planted = await opened();
  symlinkSync("elsewhere", join(planted.project, ".crew"));
  await mkdir(join(planted.project, "elsewhere"));
  expect(await say(planted.host, "/team-settings limits.maxTokens 5 --project")).toContain("Nothing was written");
});

it("/team-settings says of buckets from two files that they are of both", async () => {
  const { host, agentDir } = await opened({ ".crew/config.json": '{"observability":{"buckets":{"crew.a.b":[1]}}}' });
  writeFileSync(join(agentDir, "crew.json"), '{"observability":{"buckets":{"crew.a.c":[2]}}}');
  expect(await say(host, "/team-settings observability.buckets")).toMatch(/\[2\].*\(put together from several files\)/);
  expect(await say(host, "/team-settings observability")).toMatch(/buckets .*\(several files\)/);
});
