import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { git, repoState } from "../support/git-repo.ts";
import { quietWorld } from "./engine-bench.ts";
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
  });
  const other = () => [
    git(repo, "rev-parse", `foreman/${runId}/other`),
    readFileSync(join(repo, ".git/worktrees/other/HEAD"), "utf8"),
  ];
  return { ...bench, users, other };
}

describe("a worktree that is lost", { timeout: 60_000 }, () => {
  for (const [loss, command] of Object.entries(LOSSES))
    for (const below of ["", "packages/p"])
      it(`fails its task, and nothing happens to the user's repository: ${loss}${below && ", below the top"}`, async () => {
        const { run, end, users, other, tree, project } = await usersRepo(below);
        const [before, others] = [users(), other()];
        const up = below === "" ? "" : "cd ../..; ";
        const lost = `${up}git() { command git ${IDENTITY.join(" ")} "$@"; }; ${command}`;
        const report = await run("one", lost);
        expect(report).toMatchObject({ outcome: "failed", commit: null, error: { kind: "worktree" } });
        expect(report.error?.message).toMatch(/worktree of task one.* (is gone|is no git worktree any more)/);
        expect(report.error?.message).toContain(tree("one"));
        expect([users(), other()]).toEqual([before, others]);
        const left = existsSync(tree("one")) ? readdirSync(tree("one")) : [];
        const { folders } = await end(["one", "other"]);
        expect(folders).toEqual(left.length > 0 ? [tree("one")] : []);
        expect(existsSync(tree("one")) ? readdirSync(tree("one")) : []).toEqual(left);
        expect(await run("one", "test ! -e one.txt", { attempt: 2 })).toMatchObject({ outcome: "completed" });
        await end(["one", "other"]);
        expect(users()).toEqual(before);
        expect(readdirSync(project)).toEqual(expect.arrayContaining(["a.txt", "staged", "untracked"]));
      });
});

describe("making worktrees", { timeout: 60_000 }, () => {
  it("is done one at a time, and again where another process was in the way", async () => {
    const world = quietWorld();
    let [now, most, failed] = [0, 0, 0];
    let release = () => undefined as unknown;
    const run: typeof world.processes.run = async (command, args, options) => {
      if (!args.includes("add") || !args.includes("worktree")) return world.processes.run(command, args, options);
      now += 1;
      most = Math.max(most, now);
      const result = await world.processes.run(command, args, options);
      now -= 1;
      if (result.code !== 0) failed += 1;
      if (result.code !== 0) release();
      return result;
    };
    const processes = Object.create(world.processes, { run: { value: run } }) as typeof world.processes;
    const bench = await openBench("", { ...world, processes });
    const locked = join(bench.repo, ".git/refs/heads/foreman", bench.runId);
    mkdirSync(locked, { recursive: true });
    writeFileSync(join(locked, "one.lock"), "");
    release = () => rmSync(join(locked, "one.lock"));
    const reports = await Promise.all(["one", "two", "three"].map((id) => bench.run(id, "true")));
    expect(reports.map(({ outcome }) => outcome)).toEqual(["completed", "completed", "completed"]);
    expect([most, failed]).toEqual([1, 1]);
  });

  it("shows nothing to the user's git, whatever .crew/.gitignore says", async () => {
    const { run, repo, crewRoot } = await openBench();
    mkdirSync(join(crewRoot, "worktrees"), { recursive: true });
    writeFileSync(join(repo, "all"), "!*\n");
    symlinkSync("../all", join(crewRoot, ".gitignore"));
    symlinkSync("../../all", join(crewRoot, "worktrees/.gitignore"));
    await run("one", "echo 1 > one.txt");
    expect(git(repo, "status", "--porcelain", "--untracked-files=all")).not.toContain("worktrees");
    expect(readFileSync(join(repo, "all"), "utf8")).toBe("!*\n");
  });
});
