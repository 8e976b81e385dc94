import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

/** What users and models are told to type and to open is there. */

const ROOT = join(import.meta.dirname, "..");

interface Page {
  path: string;
  text: string;
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

function filesIn(folder: string, ending: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name));
}

const PAGES: readonly Page[] = [
  "README.md",
  "CHANGELOG.md",
  ...["skills", "docs", "agents", "teams", "workflows"].flatMap((folder) => filesIn(folder, ".md")),
].map((path) => ({ path, text: read(path) }));

const COMMANDS = new Set([...read("src/host/commands.ts").matchAll(/name: "(team-[\w-]+)"/g)].map((match) => match[1]));

/** Names that stand in the sources which lay out folders, each piece of a path by itself. */
const NAMES = new Set(
  [
    "src/store/layout.ts",
    "src/store/dead-letters.ts",
    "src/workers/attempt-folder.ts",
    "src/host/load-config.ts",
    "src/host/session.ts",
    "src/host/open-world.ts",
    "src/store/followings.ts",
    "src/store/metric-sink.ts",
    "src/host/notification-sinks.ts",
    "src/engines/output-folder.ts",
    "src/catalog/load-catalog.ts",
  ].flatMap((path) => [...read(path).matchAll(/["'`/]([\w.-]+)(?=["'`/])/g)].map((match) => match[1] ?? "")),
);

function unknownCommands({ path, text }: Page): string[] {
  const found = [...text.matchAll(/(?<![\w.])\/(team-[a-z]+)/g)].map((match) => match[1] ?? "");
  return found.filter((name) => !COMMANDS.has(name)).map((name) => `${path}: there is no /${name}`);
}

/** `<runId>` and `*` stand for anything; a definition's own file name is the user's. */
function unknownPaths({ path, text }: Page): string[] {
  const found = [...text.matchAll(/(?:\.crew|\.pi\/agent\/crew)\/([\w./<>*-]*)/g)].map((match) => match[1] ?? "");
  return found.flatMap((below) => {
    const [first = "", ...rest] = below.replace(/\.$/, "").split("/");
    const names = ["agents", "teams", "workflows"].includes(first) ? [first] : [first, ...rest];
    return names
      .filter((name) => !/^$|[<*]|^a\d{4}$/.test(name) && !NAMES.has(name))
      .map((name) => `${path}: nothing of ours is called ${name} in ${below}`);
  });
}

/** Record files named in the skills: `events.jsonl`, `worker.log`. */
function unknownRecords({ path, text }: Page): string[] {
  const found = path.startsWith("skills/") ? [...text.matchAll(/(?<![\w.])[\w-]+\.(?:jsonl|json|log)\b/g)] : [];
  return found.map(([name]) => name).flatMap((name) => (NAMES.has(name) ? [] : [`${path}: no run has a ${name}`]));
}

describe("what is written for users", () => {
  it.each([
    ["commands", unknownCommands],
    ["folders and files", unknownPaths],
    ["records of a run", unknownRecords],
  ] as const)("names only %s that exist", (_what, faults) => {
    expect(PAGES.flatMap((page) => faults(page))).toEqual([]);
  });

  it("would be caught naming what does not", () => {
    const page = (text: string): Page => ({ path: "skills/x/SKILL.md", text });
    expect(COMMANDS.size).toBeGreaterThan(4);
    expect(unknownCommands(page("try `/team-fly` or /team-run"))).toEqual(["skills/x/SKILL.md: there is no /team-fly"]);
    expect(unknownPaths(page("`.crew/state/runs/<runId>/gone.jsonl`, `.crew/metrix/`"))).toHaveLength(2);
    expect(unknownPaths(page("`.crew/state/runs/<runId>/tasks/<taskId>/a0001/stderr.log`."))).toEqual([]);
    expect(unknownRecords(page("look at `tasks.jsonl`"))).toHaveLength(1);
  });

  it("leads to pages that are there", () => {
    const dead = PAGES.flatMap(({ path, text }) =>
      [...text.matchAll(/\]\((?!https?:|#)([^)#]+)/g)]
        .map((match) => join(path, "..", match[1] ?? ""))
        .filter((target) => !PAGES.some((page) => page.path === target) && !["LICENSE"].includes(target))
        .map((target) => `${path}: there is no ${target}`),
    );
    expect(dead).toEqual([]);
  });
});
