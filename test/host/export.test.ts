import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { inTurnFiles, stepOf, teamReplies } from "../support/diamond-team.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { waitUntil } from "../support/processes.ts";
import { makeRig, type Rig } from "../support/rig.ts";
import type { RpcHost } from "../support/rpc-host.ts";
import { runIds } from "../support/run-files.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");

/** Made from pieces, so that no scanner takes this file for a leak. By where each is planted. */
const SECRETS = {
  environment: 'odd"value/of 7 the+environment',
  headers: "kq83hhs7shd82hshq0",
  login: "tid=4be1;exp=1787000000;sku=zzq:aa1109bd22",
  renewed: "tid=9f00;exp=1788000000;sku=zzq:cc7755ee33",
  modelsKey: "house-key-0099887766",
  goal: ["gh", "p_", "g0A1".repeat(9)].join(""),
  reply: ["s", "k-ant-", "api03-", "r3B2".repeat(20)].join(""),
  output: ["gl", "pat-", "t4C3".repeat(5)].join(""),
  error: ["s", "k-proj-", "e5D4".repeat(12)].join(""),
  basic: Buffer.from("deploy:p4ssw0rd-of-the-registry").toString("base64"),
};

/** What was asked is kept as it was said: workers need it. */
const ORDERS = /\/(?:manifest|meta)\.json$/;

async function planted(settings: object = {}): Promise<{ rig: Rig; bodies: () => string }> {
  const collector = await startCollector();
  const words = `curl -H "Authorization: Basic ${SECRETS.basic}" says ${SECRETS.reply} and ${SECRETS.renewed}`;
  const told = `printf '%s\\n' "$SHOP_TOKEN" "$(printf %s "$SHOP_TOKEN" | base64 -w0)" ${SECRETS.output} '${SECRETS.login}' ${SECRETS.modelsKey} $HEADERS; printf '{"token": "%s"}' half-a-line-1 >&2`;
  const refused = () => ({ status: 400, error: `Incorrect API key: ${SECRETS.error} (${SECRETS.environment})` });
  const rig = await makeRig(
    teamReplies(
      { action: "export" },
      {
        a: async ({ assistantTurns }) => {
          if (assistantTurns === 0) return { tools: [{ name: "bash", args: { command: told } }] };
          // the host renews a login while it is used
          await writeAuth(rig, SECRETS.renewed);
          return { text: `${words}; and ${SECRETS.environment}` };
        },
        b: refused,
        c: refused,
      },
    ),
    {
      files: inTurnFiles,
      env: { SHOP_TOKEN: SECRETS.environment, HEADERS: SECRETS.headers, MY_HEADERS: `x-team=${SECRETS.headers}` },
    },
  );
  const { agent } = rig.agentFolder;
  await writeAuth(rig, SECRETS.login);
  const models = JSON.parse(await readFile(join(agent, "models.json"), "utf8"));
  models.providers.mock.apiKey = SECRETS.modelsKey;
  await writeFile(join(agent, "models.json"), JSON.stringify(models));
  const config = {
    otlp: { enabled: true, endpoint: collector.url },
    // two dead letters make a notice
    reliability: {
      autoRetry: true,
      deadletterThreshold: 1,
      retryPolicy: { maxAttempts: 2, backoffMs: 100, retryableErrors: ["*"] },
    },
    ...settings,
  };
  await writeFile(join(agent, "crew.json"), JSON.stringify(config));
  return { rig, bodies: () => collector.asked.map(({ body }) => body).join("\n") };
}

async function writeAuth({ agentFolder }: Rig, access: string): Promise<void> {
  const refresh = `${access}-refresh`;
  const logins = { copilot: { type: "oauth", access, refresh, expires: 1 } };
  await writeFile(join(agentFolder.agent, "auth.json"), JSON.stringify(logins));
}

async function runToEnd(host: RpcHost, command: string): Promise<{ runId: string; ended: string }> {
  const from = host.events.length;
  const runId = /: run (\S+), 4 tasks/.exec(await say(host, command))?.[1];
  const end = await host.waitFor(
    (event) => event.type === "message_end" && event["message"].details?.runId === runId,
    60_000,
    from,
  );
  return { runId: runId ?? "", ended: String(end["message"].content) };
}

/** Every file below, as text. */
async function filesBelow(folder: string): Promise<[path: string, text: string][]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Promise.all(paths.map(async (path) => [path, await readFile(path, "utf8")] as [string, string]));
}

/** As it is, and as it stands within JSON, JSON in JSON, a URL and base64. */
function formsOf(secret: string): string[] {
  const once = JSON.stringify(secret).slice(1, -1);
  const base64 = Buffer.from(secret).toString("base64").replace(/=+$/, "");
  return [secret, once, JSON.stringify(once).slice(1, -1), encodeURIComponent(secret), base64];
}

function leaksIn(texts: readonly (readonly [path: string, text: string])[]): string[] {
  return texts.flatMap(([path, text]) =>
    Object.entries(SECRETS)
      .filter(([place, secret]) => formsOf(secret).some((form) => text.includes(form)) && !isOrder(path, place))
      .map(([place]) => `${place} in ${path}`),
  );
}

function isOrder(path: string, place: string): boolean {
  return place === "goal" && ORDERS.test(path);
}

describe("a run with planted secrets", () => {
  it("leaves none of them in anything that tells of it", async () => {
    const { rig, bodies } = await planted();
    const { project, agent } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const { runId, ended } = await runToEnd(host, `/team-run diamond "deploy with ${SECRETS.goal}"`);
    const said = await say(host, "/team-export");
    const shown = await Promise.all(
      ["/team-status latest", "/team-deadletters", "/team-metrics", "/team-doctor"].map((name) => say(host, name)),
    );
    const address = /(http\S+\/metrics) /.exec(await say(host, "/team-metrics --serve --port 0"))?.[1] ?? "";
    const scraped = await (await fetch(address)).text();
    expect(scraped).toContain("crew_run_count");
    await host.close();
    const ours = [...(await filesBelow(join(project, ".crew"))), ...(await filesBelow(join(agent, "crew")))];
    const texts: [string, string][] = [
      ...ours,
      ["scraped", scraped],
      ["sent by OTLP", bodies()],
      ["said", [ended, said, ...shown].join("\n")],
    ];
    expect(leaksIn(texts)).toEqual([]);
    // all of it was there to be found
    const names = ours.map(([path]) => path.slice(path.lastIndexOf("/") + 1)).join(" ");
    for (const name of ["stdout.log", "events.jsonl", "deadletter.jsonl", ".html", "meta.json", "state.json"])
      expect(names).toContain(name);
    expect(ours.some(([path]) => path.includes("/state/notifications/"))).toBe(true);
    expect(bodies()).toContain("Incorrect API key");
    const output = ours.find(([path]) => path.endsWith("/tasks/a/a0001/stdout.log"))?.[1] ?? "";
    expect(output.split("[REDACTED:known-value]").length).toBeGreaterThan(6);
    for (const line of output.trimEnd().split("\n")) expect(() => JSON.parse(line)).not.toThrow();
    expect(texts.find(([path]) => path.endsWith(`${runId}/manifest.json`))?.[1]).toContain(SECRETS.goal);
  });
});

describe("/team-export", () => {
  it("writes two files of a run's own, says where, and how much it masked", async () => {
    const { rig } = await planted();
    const { project } = rig.agentFolder;
    const host = await rig.rpc({ extensions: [PACKAGE] });
    const { runId } = await runToEnd(host, `/team-run diamond "deploy with ${SECRETS.goal}"`);
    const said = await say(host, `/team-export ${runId}`);
    const paths = [...said.matchAll(/^ {2}(\.crew\/exports\/\S+)$/gm)].map(([, path]) => join(project, path ?? ""));
    expect(paths).toHaveLength(2);
    const [json = "", html = ""] = paths;
    const diagnostic = JSON.parse(await readFile(json, "utf8"));
    expect(Object.keys(diagnostic)).toEqual(
      expect.arrayContaining(
        "schemaVersion runId exportedAt manifest tasks recentEvents heartbeat agents envRedacted metricsSnapshot".split(
          " ",
        ),
      ),
    );
    expect(diagnostic).toMatchObject({ schemaVersion: 2, runId, envRedacted: { SHOP_TOKEN: "***" } });
    expect(diagnostic.tasks.map(({ status }: { status: string }) => status)).toContain("failed");
    expect(diagnostic.deadLetters).toMatchObject([{ reason: "max-retries" }, { reason: "max-retries" }]);
    expect(diagnostic.heartbeat).toHaveLength(3);
    const metrics = diagnostic.metricsSnapshot.map(({ name }: { name: string }) => name);
    expect(metrics).toEqual(expect.arrayContaining(["crew.run.count", "crew.task.tokens_total"]));
    expect(Number(/(\d+) values were masked/.exec(said)?.[1])).toBeGreaterThan(1);
    for (const path of paths) expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(html, "utf8")).toContain("Content-Security-Policy");
    expect(await readFile(join(project, ".crew/exports/.gitignore"), "utf8")).toBe("*\n");

    rig.server.setReply((request) =>
      stepOf(request) === null && request.assistantTurns === 0
        ? { tools: [{ name: "team", args: { action: "export", runId: runId.slice(-6) } }] }
        : { text: "done" },
    );
    await host.prompt("export it");
    expect(rig.server.requests.at(-1)?.request.lastToolText).toContain(`Run ${runId} is exported:`);
    expect(await say(host, "/team-export nothing-like-it")).toMatch(/No run is called "nothing-like-it"\. Use one of/);
  });

  it("has no metrics and no version of them when nothing is counted; takes the run under way", async () => {
    const { rig } = await planted({ telemetry: { enabled: false } });
    const { project } = rig.agentFolder;
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    rig.server.setReply(async (request) => {
      if (request.firstUserText.includes("of wait")) await opened;
      return { text: "done" };
    });
    const host = await rig.rpc({ extensions: [PACKAGE] });
    expect(await say(host, "/team-export")).toContain("There is no run yet");
    await host.command("/team-run diamond wait");
    const [waiting = ""] = await runIds(project);
    await waitUntil(() => rig.server.requests.length > 0);
    await runToEnd(await rig.rpc({ extensions: [PACKAGE] }), "/team-run diamond newer");
    const said = await say(host, "/team-export");
    expect(said).toContain(`Run ${waiting} is exported`);
    const path = /(\.crew\/\S+\.json)$/m.exec(said)?.[1] ?? "";
    const diagnostic = JSON.parse(await readFile(join(project, path), "utf8"));
    expect(diagnostic).not.toHaveProperty("metricsSnapshot");
    expect(diagnostic).not.toHaveProperty("schemaVersion");
    expect(diagnostic).toMatchObject({ runId: waiting, heartbeat: [{ taskId: "a", process: "alive", ended: false }] });
    open();
    await waitUntil(async () => (await say(host, `/team-status ${waiting}`)).includes("completed"), 30_000);
  });

  it("says why when it can't be written, and follows no link", async () => {
    const { rig } = await planted();
    const { project, home } = rig.agentFolder;
    rig.server.setReply(() => ({ text: "done" }));
    const host = await rig.rpc({ extensions: [PACKAGE] });
    await runToEnd(host, "/team-run diamond go");
    const elsewhere = join(home, "elsewhere");
    await mkdir(elsewhere);
    await symlink(elsewhere, join(project, ".crew/exports"));
    expect(await say(host, "/team-export")).toMatch(/Nothing was exported: \S+exports can't be written \(.*symlink/);
    expect(await readdir(elsewhere)).toEqual([]);
  });
});
