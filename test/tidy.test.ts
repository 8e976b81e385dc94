import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

/** The house's rules that a program can check. A failure is a sentence that says what to do. */

const ROOT = join(import.meta.dirname, "..");

/** Who may import whom; itself always. `host` may import everything. */
const MAY_IMPORT: Record<string, string[]> = {
  system: [],
  events: ["system"],
  metrics: ["events", "system"],
  runs: ["events", "system"],
  catalog: ["runs", "system"],
  workers: ["runs", "events", "system"],
  supervision: ["runs", "events", "system"],
  store: ["runs", "metrics", "events", "system"],
  engines: ["workers", "runs", "events", "system"],
  export: ["store", "metrics", "events", "system"],
  views: ["store", "metrics", "runs", "events", "system"],
};

const FILE_LINES_MAX = 250;
const TOP_LEVEL = new Set(
  "src skills agents teams workflows test docs build.ts dist index.ts package.json package-lock.json tsconfig.json README.md LICENSE CHANGELOG.md node_modules".split(
    " ",
  ),
);

/** What may be used only in the files named; everywhere else the remedy is said. */
const BANNED: { pattern: RegExp; allowed: RegExp; remedy: string }[] = [
  { pattern: /\bDate\.now\b|new Date\(\)|performance\.now\b/, allowed: /^system\/node\.ts$/, remedy: "take a Clock" },
  {
    pattern: /\bMath\.random\b|\brandomBytes\b|\brandomUUID\b/,
    allowed: /^system\/node(-write)?\.ts$/,
    remedy: "take a Random",
  },
  {
    pattern: /\bset(Timeout|Interval|Immediate)\(/,
    allowed: /^system\/node(-processes)?\.ts$/,
    remedy: "take a Clock",
  },
  {
    pattern: /\bprocess\.env\b/,
    allowed: /^(host\/config\.ts|workers\/start\.mjs|system\/node-command\.ts)$/,
    remedy: "read it in host/config.ts",
  },
  { pattern: /["']node:fs(\/promises)?["']/, allowed: /^(system\/|host\/cli\.ts$)/, remedy: "take Files" },
  { pattern: /["']node:child_process["']/, allowed: /^system\//, remedy: "take Processes" },
  { pattern: /["']node:(http|https|net)["']|\bfetch\(/, allowed: /^export\//, remedy: "move it to export/" },
  { pattern: /["']@(mariozechner|earendil-works)\//, allowed: /^host\//, remedy: "only host/ knows Pi" },
  {
    pattern: /^(?!.*[iI]nTurn\().*\bimport\(/m,
    allowed: /^host\/cli\.ts$|\.mjs$/,
    remedy: "two imports at once break the host's loader: use inTurn",
  },
  { pattern: /\bconsole\./, allowed: /^$/, remedy: "a guest in Pi's terminal writes to the Log" },
];

interface Source {
  /** Below `src`, with slashes. */
  path: string;
  room: string;
  text: string;
}

function sources(folder = join(ROOT, "src"), below = ""): Source[] {
  return readdirSync(folder).flatMap((name) => {
    const path = below === "" ? name : `${below}/${name}`;
    const full = join(folder, name);
    if (statSync(full).isDirectory()) return sources(full, path);
    return /\.(ts|mjs)$/.test(name) ? [{ path, room: path.split("/")[0] ?? "", text: readFileSync(full, "utf8") }] : [];
  });
}

function imports(source: Source): string[] {
  const found = source.text.matchAll(/(?:from|import)\s*\(?\s*["'](\.[^"']+)["']/g);
  return [...found].map((match) => new URL(match[1] as string, `file:///${source.path}`).pathname.slice(1));
}

function importFaults(source: Source): string[] {
  if (source.room === "host") return [];
  const allowed = MAY_IMPORT[source.room];
  if (!allowed) return [`src/${source.path}: ${source.room} is no room; put the file where its work belongs`];
  return imports(source)
    .map((path) => path.split("/")[0] ?? "")
    .filter((room) => room !== source.room && !allowed.includes(room))
    .map((room) => `src/${source.path}: ${source.room} may not import ${room}`);
}

function bannedFaults(source: Source): string[] {
  const code = source.text.replace(/^\s*(\/\/|\*|\/\*).*$/gm, "");
  return BANNED.filter(({ pattern, allowed }) => pattern.test(code) && !allowed.test(source.path)).map(
    ({ pattern, remedy }) => `src/${source.path}: ${pattern.exec(code)?.[0]} is not for this file; ${remedy}`,
  );
}

function lengthFaults(source: Source): string[] {
  const lines = source.text.split("\n").length - 1;
  return lines > FILE_LINES_MAX ? [`src/${source.path}: ${lines} lines; split it, ${FILE_LINES_MAX} is the most`] : [];
}

function nameFaults(source: Source): string[] {
  const bad = /(^|\/)(utils?|helpers?|common|shared|types|index|manager)\.ts$/.test(source.path);
  return bad ? [`src/${source.path}: name the file after what it holds`] : [];
}

function depthFaults(source: Source): string[] {
  const folders = source.path.split("/").length - 1;
  const most = ["views", "workers"].includes(source.room) ? 2 : 1;
  return folders > most ? [`src/${source.path}: a room has no sub-rooms`] : [];
}

function historyFaults(source: Source): string[] {
  const told = /\/\/.*\b(issue|bug|fix|round|phase|PR) ?#?\d+/i.exec(source.text);
  return told ? [`src/${source.path}: a comment tells history: ${told[0].trim()}`] : [];
}

/** Told apart from text in quotes by its place: at the begin of a line, or after a blank. */
const COMMENT = /(?:^|\s)\/\/.*$|^\s*\/?\*.*$/gm;
const ELSEWHERE = /\bspec sections?\b|\bresearch\/|\bthe research\b|\bbriefs?\b/i;

/** Readers have this folder and what is public, nothing else. */
function citationFaults(source: Source): string[] {
  return (source.text.match(COMMENT) ?? [])
    .filter((comment) => ELSEWHERE.test(comment))
    .map((comment) => `${source.path}: say the fact itself, or cite what is public: ${comment.trim()}`);
}

const HOME_PATH = /(?<![\w~.-])\/(?:home|root|Users|work)\/[\w.-]+/;

/** A path of the machine it was written on means nothing on another. In tests, only comments are looked at. */
function homePathFaults(source: Source): string[] {
  const text = source.path.startsWith("test/") ? (source.text.match(COMMENT) ?? []).join("\n") : source.text;
  const found = HOME_PATH.exec(text);
  return found ? [`${source.path}: ${found[0]} is a path of somebody's machine; write it relative`] : [];
}

const TEXT_RULES = [citationFaults, homePathFaults];

/** What is published and what proves it, as text. */
function texts(): Source[] {
  const folders = ["src", "test", "docs", "skills", "agents", "teams", "workflows"];
  const found = folders.flatMap((name) => textFiles(join(ROOT, name), name));
  return [...found, ...["README.md", "CHANGELOG.md", "package.json"].map((name) => textOf(join(ROOT, name), name))];
}

function textFiles(folder: string, below: string): Source[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const [full, path] = [join(folder, entry.name), `${below}/${entry.name}`];
    if (entry.isDirectory()) return textFiles(full, path);
    return /\.(ts|mjs|md|json)$/.test(entry.name) ? [textOf(full, path)] : [];
  });
}

function textOf(full: string, path: string): Source {
  return { path, room: "", text: readFileSync(full, "utf8") };
}

const RULES = [importFaults, bannedFaults, lengthFaults, nameFaults, depthFaults, historyFaults];

describe("the house", () => {
  it("keeps its rules", () => {
    expect(sources().flatMap((source) => RULES.flatMap((rule) => rule(source)))).toEqual([]);
  });

  it("speaks of itself alone", () => {
    expect(texts().flatMap((source) => TEXT_RULES.flatMap((rule) => rule(source)))).toEqual([]);
  });

  it("would see what speaks of something else", () => {
    const cited = ["Spec section", "re" + "search/metrics.md", "the re" + "search", "the br" + "ief"];
    const comments = cited.flatMap((words) => [`// as ${words} 4 says`, `x(); // ${words}`, ` * See ${words}.`]);
    const homes = ["home/me", "work/main", "Users/me", "root/x"].map((path) => `const at = "/${path}/file";`);
    for (const text of [...comments, ...homes]) {
      const planted: Source = { path: "src/runs/a.ts", room: "runs", text };
      expect(
        TEXT_RULES.flatMap((rule) => rule(planted)),
        text,
      ).not.toEqual([]);
    }
  });

  it("has no room that nobody named, and nothing strange at the top", () => {
    const strange = readdirSync(ROOT).filter((name) => !name.startsWith(".") && !TOP_LEVEL.has(name));
    expect(strange).toEqual([]);
  });

  it("would see each kind of violation", () => {
    const plant = (path: string, text: string) => ({ path, room: path.split("/")[0] ?? "", text });
    const planted = [
      plant("runs/a.ts", 'import { x } from "../store/layout.ts";'),
      plant("runs/b.ts", "const at = Date.now();"),
      plant("views/c.ts", 'import { readFileSync } from "node:fs";'),
      plant("runs/d.ts", "x\n".repeat(FILE_LINES_MAX + 1)),
      plant("metrics/utils.ts", ""),
      plant("runs/deep/e.ts", ""),
      plant("runs/f.ts", "// fix 12: as before"),
      plant("store/g.ts", "console.log(1)"),
      plant("host/i.ts", 'const x = await import("./late.ts");'),
      plant("store/h.ts", 'import type { X } from "@mariozechner/pi-coding-agent";'),
    ];
    for (const source of planted)
      expect(
        RULES.flatMap((rule) => rule(source)),
        source.path,
      ).not.toEqual([]);
  });
});
