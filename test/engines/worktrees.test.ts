import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { AttemptReport } from "../../src/runs/execute.ts";
import { git } from "../support/git-repo.ts";
import { openBench } from "./worktree-bench.ts";

const GIT = "git -c user.name=A -c user.email=a@example.invalid";
const COMMIT = `${GIT} commit -q`;

const commitOf = (report: AttemptReport) => report.commit ?? "";

describe("a task's worktree", { timeout: 60_000 }, () => {
  it("begins with the base, ends as a commit by a known author, and leaves the user's branch alone", async () => {
    const { repo, run, runId, baseCommit, project } = await openBench();
    writeFileSync(join(project, "mine"), "not committed");
    const report = await run("one", "cat a.txt; ls mine; echo two >> a.txt; echo new > b.txt; git checkout -q -b own");
    expect(report).toMatchObject({ outcome: "completed", changes: { locAdded: 2, locRemoved: 0, filesChanged: 2 } });
    const branch = `foreman/${runId}/one`;
    expect(git(repo, "rev-parse", branch)).toBe(commitOf(report));
    expect(git(repo, "log", "--format=%an <%ae>", `${baseCommit}..${branch}`)).toBe(
      "pi-foreman <pi-foreman@localhost>",
    );
    expect(git(repo, "show", `${branch}:b.txt`)).toBe("new");
    expect(git(repo, "rev-parse", "HEAD", "main")).toBe(`${baseCommit}\n${baseCommit}`);
    expect(readFileSync(join(project, "a.txt"), "utf8")).toBe("one\n");
    git(repo, "config", "user.name", "Me");
    git(repo, "config", "user.email", "me@example.invalid");
    await run("two", "echo x > c.txt");
    expect(git(repo, "log", "-1", "--format=%an %cn", `foreman/${runId}/two`)).toBe("Me Me");
  });

  it("begins anew after a failure, and what a killed worker left is kept as a checkpoint", async () => {
    const { run, kill, crewRoot, runId, tree } = await openBench();
    kill("one1");
    await run("one", "echo half > half.txt; touch .git-no; exit 1");
    expect(existsSync(join(tree("one"), "half.txt"))).toBe(true);
    const kept = join(crewRoot, "state/runs", runId, "tasks/one/a0001/checkpoints");
    // of its git, which was killed with it
    mkdirSync(kept);
    writeFileSync(join(kept, "index.lock"), "");
    const second = await run("one", "ls; test ! -e half.txt", { attempt: 2 });
    expect(second).toMatchObject({ outcome: "completed", changes: { filesChanged: 0 }, checkpoints: [] });
    expect(JSON.parse(readFileSync(join(kept, "0001.json"), "utf8"))).toMatchObject({ why: "backup", files: 2 });
    expect(readFileSync(join(kept, "0001.patch"), "utf8")).toContain("+half");
    const failed = await run("two", "echo half > half.txt; exit 1");
    expect(failed).toMatchObject({ outcome: "failed", checkpoints: [{ checkpointSeq: 1, files: 1 }], commit: null });
    expect(await run("two", "test ! -e half.txt", { attempt: 2 })).toMatchObject({ outcome: "completed" });
  });

  it("goes on with what its verify command refused, and counts both together", async () => {
    const { run, tree } = await openBench();
    const task = { verify: "test -f second.txt" };
    const first = await run("one", "echo 1 > first.txt", { task });
    expect(first).toMatchObject({ outcome: "failed", error: { kind: "verify" } });
    writeFileSync(join(tree("one"), "stray"), "left by nobody known");
    const second = await run("one", "cat first.txt && echo 2 > second.txt", { task, attempt: 2 });
    expect(second).toMatchObject({ outcome: "completed", changes: { locAdded: 2, filesChanged: 2 } });
    expect(existsSync(join(tree("one"), "stray"))).toBe(false);
  });

  it("lies at the project's place in a larger repository, and has the files it reads at theirs", async () => {
    const { run, repo, runId, crewRoot } = await openBench("packages/p");
    const path = join(crewRoot, "state/runs", runId, "artifacts/plan.md");
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, "the plan");
    const artifact_hash = createHash("sha256").update("the plan").digest("hex");
    const file = { name: "plan.md", path, bytes: 8, artifact_hash };
    const command = `cat .crew/state/runs/${runId}/artifacts/plan.md; git status --short; echo x > b.txt`;
    const report = await run("one", command, { files: [file], task: { output: ["b.txt"] } });
    expect(report).toMatchObject({
      outcome: "completed",
      summary: "the plan",
      artifacts: [{ name: "b.txt", bytes: 2 }],
    });
    const changed = git(repo, "show", "--name-only", "--format=", commitOf(report));
    expect(changed).toBe("packages/p/b.txt");
    const missing = await run("two", "true", { task: { output: ["b.txt"] } });
    expect(missing).toMatchObject({ outcome: "failed", error: { kind: "output-missing" }, commit: null });
  });

  it("that lost its .git is not taken for the user's tree around it, and nothing in it is lost", async () => {
    const { run, kill, repo, tree, crewRoot, runId } = await openBench();
    const users = () => [
      git(repo, "symbolic-ref", "HEAD"),
      git(repo, "status", "--short", "-uno"),
      git(repo, "stash", "list"),
    ];
    writeFileSync(join(repo, "mine"), "not committed");
    const before = users();
    const command = "test -e one.txt && exit 0; echo 1 > one.txt; rm .git";
    expect(await run("one", command)).toMatchObject({
      outcome: "failed",
      changes: { locAdded: 1, filesChanged: 1 },
      error: { kind: "worktree", message: expect.stringContaining("is no git worktree any more") },
      commit: null,
    });
    const patch = join(crewRoot, "state/runs", runId, "tasks/one/a0001/checkpoints/0001.patch");
    expect(readFileSync(patch, "utf8")).toContain("b/one.txt");
    expect(readFileSync(patch, "utf8")).not.toContain("mine");
    expect(await run("one", "true", { attempt: 2 })).toMatchObject({ outcome: "completed" });
    kill("two1");
    await run("two", "echo 2 > two.txt; rm .git");
    expect(await run("two", "true", { attempt: 2 })).toMatchObject({ outcome: "blocked", error: { kind: "worktree" } });
    expect(readFileSync(join(tree("two"), "two.txt"), "utf8")).toBe("2\n");
    expect(users()).toEqual(before);
  });

  it("is refused where a link is planted", async () => {
    const { run, runId, crewRoot, project } = await openBench();
    const elsewhere = join(project, "../elsewhere");
    mkdirSync(elsewhere);
    mkdirSync(crewRoot);
    symlinkSync(elsewhere, join(crewRoot, "worktrees"));
    expect(await run("one", "true")).toMatchObject({ outcome: "blocked", error: { kind: "planted" } });
    rmSync(join(crewRoot, "worktrees"));
    await run("two", "true");
    const own = join(crewRoot, "worktrees", runId, "one");
    symlinkSync(elsewhere, own);
    expect(await run("one", "true")).toMatchObject({ outcome: "blocked", error: { kind: "planted" } });
    expect(readdirSync(elsewhere)).toEqual([]);
  });

  it("is gone after the run unless it has unsaved changes; branches stay for work that is nowhere else", async () => {
    const { run, end, tree, repo, runId, crewRoot } = await openBench();
    const one = await run("one", "echo 1 > 1.txt");
    await run("two", "cat 1.txt; echo 2 > 2.txt", { commits: [commitOf(one)] });
    await run("look", "cat 1.txt", { commits: [commitOf(one)] });
    await run("bad", "echo half > half.txt; exit 1");
    const branch = (id: string) => `foreman/${runId}/${id}`;
    git(repo, "config", "status.showUntrackedFiles", "no");
    const ids = ["one", "two", "look", "bad"];
    expect(await end(ids)).toEqual({ branches: [branch("two")], folders: [tree("bad")] });
    expect(readFileSync(join(tree("bad"), "half.txt"), "utf8")).toBe("half\n");
    git(repo, "merge", "-q", branch("two"));
    rmSync(join(tree("bad"), "half.txt"));
    expect(await end(ids)).toEqual({ branches: [], folders: [] });
    expect(await end(ids)).toEqual({ branches: [], folders: [] });
    expect(git(repo, "branch", "--format=%(refname:short)")).toBe("main");
    expect(readdirSync(join(crewRoot, "worktrees"))).toEqual([".gitignore"]);
    expect(git(repo, "worktree", "list").split("\n")).toHaveLength(1);
  });

  it("stays after the run where a repository within it has work that is in no commit of the user's", async () => {
    const { run, end, tree } = await openBench();
    const made = await run("one", `git init -q nest && cd nest && echo n > n.txt && git add . && ${COMMIT} -m n`);
    expect(made).toMatchObject({ outcome: "completed" });
    expect((await end(["one"])).folders).toEqual([tree("one")]);
    expect(readFileSync(join(tree("one"), "nest/n.txt"), "utf8")).toBe("n\n");
  });

  it("with a merge that was left unresolved hands nothing over", async () => {
    const { run } = await openBench();
    const side = (name: string) => `git checkout -qb ${name} main && echo ${name} > a.txt && ${COMMIT} -am ${name}`;
    const report = await run("one", `${side("left")} && ${side("right")} && ! ${GIT} merge left`);
    expect(report).toMatchObject({ outcome: "failed", commit: null });
    expect(report.error?.message).toContain("a merge was left unresolved in a.txt");
  });

  it("keeps a branch whose work only a commit without a name has", async () => {
    const { run, end, repo, runId } = await openBench();
    const one = await run("one", "echo 1 > 1.txt");
    git(repo, "checkout", "-q", "--detach", commitOf(one));
    expect((await end(["one"])).branches).toEqual([`foreman/${runId}/one`]);
    git(repo, "checkout", "-q", "-b", "mine");
    expect((await end(["one"])).branches).toEqual([]);
    expect(git(repo, "branch", "--format=%(refname:short)")).toBe("main\nmine");
  });

  it("leaves worktrees of the user's on a disk that is away, and forgets one of its own that was removed", async () => {
    const { run, end, repo, tree, project } = await openBench();
    const [own, away] = [join(project, "../own"), join(project, "../away")];
    git(repo, "worktree", "add", "-q", "-b", "mine", own);
    renameSync(own, away);
    await run("one", "true");
    rmSync(tree("one"), { recursive: true });
    await run("one", "true", { attempt: 2 });
    rmSync(tree("one"), { recursive: true });
    expect(await end(["one"])).toEqual({ branches: [], folders: [] });
    expect(git(repo, "branch", "--format=%(refname:short)")).toBe("main\nmine");
    renameSync(away, own);
    expect(git(own, "status", "--short", "--branch")).toBe("## mine");
  });
});
