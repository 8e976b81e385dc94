import { readFileSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import type { MetricsSnapshot } from "../../src/metrics/snapshot.ts";
import { makeRig } from "../support/rig.ts";
import { say } from "../support/say.ts";

const PACKAGE = resolve(import.meta.dirname, "../../index.ts");
const PAGE = join(import.meta.dirname, "../../docs/operations.md");

/** The one block of code under that heading. */
function exampleOf(page: string): string {
  const section = /\n## Own metrics and exporters\n(.*?)\n## /s.exec(page)?.[1] ?? "";
  const blocks = [...section.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] ?? "");
  expect(blocks).toHaveLength(1);
  return blocks[0] ?? "";
}

const TEAM = {
  ".crew/teams/two.team.md":
    "---\nname: two\ndescription: one does, one fails\ndefaultWorkflow: two\nroles:\n  eye: explorer\n---\n",
  ".crew/workflows/two.workflow.md":
    "---\nname: two\ndescription: one does, one fails\n---\n\n## does\nkind: shell\ncommand: sleep 1.2\n\n## fails\nkind: shell\ndependsOn: does\ncommand: exit 1\n",
};

test("the extension in docs/operations.md counts and sends, as it stands there", async () => {
  const rig = await makeRig(() => ({ text: "never asked" }), { files: TEAM });
  const { agent, home } = rig.agentFolder;
  await mkdir(join(agent, "extensions"));
  await writeFile(join(agent, "extensions/own-metrics.ts"), exampleOf(readFileSync(PAGE, "utf8")));
  const host = await rig.rpc({ extensions: [PACKAGE], answerDialog: () => ({ confirmed: true }) });
  await say(host, '/team-run two "count"');
  await host.waitFor((event) => event.type === "message_end" && event["message"].customType === "foreman-run", 30_000);
  const { metrics }: { metrics: MetricsSnapshot } = JSON.parse(await say(host, "/team-metrics crew.own.* --json"));
  expect(metrics.map(({ name }) => name)).toEqual(["crew.own.runs_begun", "crew.own.attempt_duration_ms"]);
  expect(await say(host, "/team-doctor")).toContain("own file: ");
  await host.close();
  expect(host.stderr).toBe("");

  const lines = (await readFile(join(home, "own-metrics.jsonl"), "utf8")).trim().split("\n");
  const sent: MetricsSnapshot = JSON.parse(lines.at(-1) ?? "");
  const one = (name: string) => sent.find((metric) => metric.name === name);
  expect(one("crew.own.runs_begun")?.series).toEqual([{ labels: { workflow: "two" }, value: 1 }]);
  const attempts = one("crew.own.attempt_duration_ms");
  expect(attempts).toMatchObject({ unit: "ms", bounds: [1000, 10_000, 60_000, 600_000] });
  expect(attempts?.series).toMatchObject([
    { labels: { outcome: "completed" }, count: 1, buckets: [0, 1, 0, 0, 0] },
    { labels: { outcome: "failed" }, count: 1 },
  ]);
  // ours are with them
  expect(one("crew.run.count")?.series).toMatchObject([{ value: 1 }]);
});
