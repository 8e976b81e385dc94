import { execFileSync } from "node:child_process";
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";

/** A real repository in a folder of the test's own, untouched by the user's configuration of git. */

process.env["GIT_CONFIG_GLOBAL"] = "/dev/null";
process.env["GIT_CONFIG_NOSYSTEM"] = "1";

const SOMEBODY = [
  "-c",
  "user.name=Some Body",
  "-c",
  "user.email=body@example.invalid",
  "-c",
  "init.defaultBranch=main",
];

/** What git said, without the last line feed. */
export function git(folder: string, ...args: string[]): string {
  return execFileSync("git", [...SOMEBODY, ...args], { cwd: folder, encoding: "utf8", stdio: "pipe" }).replace(
    /\n$/,
    "",
  );
}

/** With one commit of `files`. */
export function makeRepo(folder: string, files: Tree = { "read.me": { text: "first\n" } }): string {
  mkdirSync(folder, { recursive: true });
  git(folder, "init", "-q");
  putTree(folder, files);
  git(folder, "add", "-A");
  git(folder, "commit", "-q", "--allow-empty", "-m", "first");
  return folder;
}

export type Entry =
  | { text: string; executable?: boolean }
  | { bytes: Uint8Array; executable?: boolean }
  | { link: string };
export type Tree = Record<string, Entry>;

/** Makes a folder hold exactly these, whatever it held before; `.git` stays. */
export function putTree(folder: string, tree: Tree): void {
  for (const name of readdirSync(folder)) if (name !== ".git") rmSync(join(folder, name), { recursive: true });
  for (const [path, entry] of Object.entries(tree)) {
    const full = join(folder, path);
    mkdirSync(dirname(full), { recursive: true });
    if ("link" in entry) symlinkSync(entry.link, full);
    else writeFileSync(full, "text" in entry ? entry.text : entry.bytes);
    if (!("link" in entry)) chmodSync(full, entry.executable ? 0o755 : 0o644);
  }
}

/** All that is in a folder, what is left out at its top apart: kind, executable bit and bytes (hex) by path. */
export function readTree(folder: string, leftOut: readonly string[] = [".git"], below = ""): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(join(folder, below))) {
    const path = below === "" ? name : `${below}/${name}`;
    if (leftOut.includes(path)) continue;
    const facts = lstatSync(join(folder, path));
    if (facts.isDirectory()) Object.assign(found, readTree(folder, leftOut, path));
    else if (facts.isSymbolicLink()) found[path] = `link ${readlinkSync(join(folder, path))}`;
    else found[path] = `${(facts.mode & 0o100) === 0 ? "-" : "x"} ${readFileSync(join(folder, path)).toString("hex")}`;
  }
  return found;
}

/** What a user would miss: HEAD, all refs, the stash, and the bytes of the index. */
export function repoState(folder: string): Record<string, string> {
  const index = readFileSync(join(folder, git(folder, "rev-parse", "--git-path", "index")));
  return {
    head: git(folder, "symbolic-ref", "HEAD"),
    refs: git(folder, "for-each-ref"),
    stash: git(folder, "stash", "list"),
    index: index.toString("hex"),
  };
}
