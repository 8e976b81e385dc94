import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { git, repoState } from "../support/git-repo.ts";
import { openBench } from "./worktree-bench.ts";

/** What an agent may do to its worktree's .git; git would then find the user's repository, or another. */
const LOSSES: Record<string, string> = {
  "its .git removed": "echo 1 > one.txt; rm .git",
  "everything in it removed": "find . -mindepth 1 -delete",
  "the folder itself removed": 'rm -rf "$PWD"',
  "its .git removed, and a commit tried": "rm .git; echo 1 > one.txt; git add -A; git commit -qm mine; git stash; true",
  "its .git removed, and a commit tried further down": "rm .git; mkdir d; cd d; git add -A; git commit -qm mine; true",
  "its .git pointed at the user's": 'echo 1 > one.txt; echo "gitdir: $(git rev-parse --git-common-dir)" > .git',
  "its .git pointed at another's": 'echo 1 > one.txt; echo "gitdir: $(git rev-parse --git-dir)/../other" > .git',
  "a repository of its own": "rm .git; git init -q; git commit -q --allow-empty -m mine; echo 1 > one.txt",
};
const IDENTITY = ["user.name=Agent", "user.email=agent@example.invalid"].flatMap((it) => ["-c", it]);

async function usersRepo(below = "") {
  const bench = await openBench(below);
  const { repo, project, runId } = bench;
  for (const [name, text] of [
    ["staged", "s"],
    ["untracked", "u"],
  ] as const)
    writeFileSync(join(project, name), text);
  git(repo, "add", join(project, "staged"));
  await bench.run("other", "echo o > other.txt");
  const users = () => ({
    ...repoState(repo),
    refs: git(repo, "for-each-ref").replaceAll(/.*refs\/heads\/foreman\/.*\n?/g, ""),
    status: git(repo, "status", "--porcelain=v2", "--branch"),
    log: readFileSync(join(repo, ".git/logs/HEAD"), "utf8"),
    other: git(repo, "rev-parse", `foreman/${runId}/other`),
    otherHead: readFileSync(join(repo, ".git/worktrees/other/HEAD"), "utf8"),
  });
  return { ...bench, users };
}

describe("a worktree that is lost", { timeout: 60_000 }, () => {
  for (const [loss, command] of Object.entries(LOSSES))
    for (const below of ["", "packages/p"])
      it(`fails its task, and nothing happens to the user's repository: ${loss}${below && ", below the top"}`, async () => {
        const { run, end, users, tree, project } = await usersRepo(below);
        const before = users();
        const up = below === "" ? "" : "cd ../..; ";
        const lost = `${up}git() { command git ${IDENTITY.join(" ")} "$@"; }; ${command}`;
        const report = await run("one", lost);
        expect(report).toMatchObject({ outcome: "failed", commit: null, error: { kind: "worktree" } });
        expect(report.error?.message).toMatch(/worktree of task one.* (is gone|is no git worktree any more)/);
        expect(report.error?.message).toContain(tree("one"));
        expect(users()).toEqual(before);
        const left = existsSync(tree("one")) ? readdirSync(tree("one")) : [];
        const { folders } = await end(["one", "other"]);
        expect(folders).toEqual(left.length > 0 ? [tree("one")] : []);
        expect(existsSync(tree("one")) ? readdirSync(tree("one")) : []).toEqual(left);
        expect(await run("one", "test ! -e one.txt", { attempt: 2 })).toMatchObject({ outcome: "completed" });
        await end(["one", "other"]);
        expect({ ...users(), other: "", otherHead: "" }).toEqual({ ...before, other: "", otherHead: "" });
        expect(readdirSync(project)).toEqual(expect.arrayContaining(["a.txt", "staged", "untracked"]));
      });
});
