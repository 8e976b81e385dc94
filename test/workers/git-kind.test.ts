import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { parseGitCommand } from "../../src/runs/git-command.ts";
import { waitUntil } from "../support/processes.ts";
import { stepBench } from "./step-bench.ts";

const AUTHOR = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
const identity = Object.fromEntries(
  ["AUTHOR", "COMMITTER"].flatMap((who) => [
    [`GIT_${who}_NAME`, "Test"],
    [`GIT_${who}_EMAIL`, "test@localhost"],
  ]),
);

/** A repository with one commit of `file`, and whatever `change` does to it. */
function repository(): { folder: string; git(...args: string[]): string; write(name: string, text: string): void } {
  const folder = mkdtempSync(join(tmpdir(), "foreman-git-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const git = (...args: string[]) =>
    execFileSync("git", [...AUTHOR, ...args], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] }).toString();
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text);
  git("init", "--quiet", "--initial-branch=main");
  write("file", "one\n");
  git("add", ".");
  git("commit", "--quiet", "-m", "Start");
  return { folder, git, write };
}

const step = (work: string, command: string, env: Record<string, string> = {}) =>
  stepBench({ workerKind: "git", stepKind: "git", command, work, env: { ...identity, ...env } });

describe("a git step", { timeout: 30_000 }, () => {
  it("does what it says in the repository, and hands its output on", async () => {
    const { folder, git, write } = repository();
    write("file", "two\n");
    const status = await (await step(folder, "git status --short")).run();
    expect(status).toMatchObject({ ok: true, summary: expect.stringContaining("M file") });
    const diff = await (await step(folder, "diff -- file")).run();
    expect(diff.summary).toContain("+two");
    const commit = await (await step(folder, `commit -am "Say 'two', not \\"one\\""`)).run();
    expect(commit).toMatchObject({ ok: true });
    expect(git("log", "-1", "--format=%s")).toBe(`Say 'two', not "one"\n`);
  });

  it("is no shell: what looks like one is an argument", async () => {
    const { folder } = repository();
    const result = await (await step(folder, "branch $(touch made); touch made")).run();
    expect(result).toMatchObject({ outcome: "failed", failureKind: "permanent", error: { kind: "exit" } });
    expect(() => readFileSync(join(folder, "made"))).toThrow();
  });

  it("asks nobody: no editor is opened, and another repository in the environment is not taken", async () => {
    const { folder, git, write } = repository();
    const other = repository();
    write("file", "two\n");
    const env = { GIT_DIR: join(other.folder, ".git"), GIT_EDITOR: "touch edited; false" };
    expect((await (await step(folder, "rev-parse --git-dir", env)).run()).summary).toBe(".git");
    const edited = await (await step(folder, "commit -a", env)).run();
    expect(edited).toMatchObject({ outcome: "failed", error: { kind: "exit" } });
    expect(edited.error?.message).toContain("editor");
    expect(existsSync(join(folder, "edited"))).toBe(false);
    expect(git("log", "--format=%s")).toBe("Start\n");
  });

  it("takes back a merge that conflicts, and names the files", async () => {
    const { folder, git, write } = repository();
    git("checkout", "--quiet", "-b", "side");
    write("file", "side\n");
    git("commit", "--quiet", "-am", "Side");
    git("checkout", "--quiet", "main");
    write("file", "main\n");
    git("commit", "--quiet", "-am", "Main");
    const result = await (await step(folder, "merge side")).run();
    expect(result).toMatchObject({ outcome: "failed", failureKind: "permanent", needsHuman: true });
    expect(result.error).toEqual({
      kind: "merge-conflict",
      message: "The merge conflicts in file; the merge was aborted. Resolve it by hand, or in a step of kind pi.",
    });
    expect(git("status", "--short")).toBe("");
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("main\n");
  });

  it("takes back a merge that was stopped within a hook, and leaves the user's own changes", async () => {
    const { folder, git, write } = repository();
    write("mine", "one\n");
    git("add", "mine");
    git("commit", "--quiet", "-m", "Mine");
    git("checkout", "--quiet", "-b", "side");
    write("theirs", "side\n");
    git("add", "theirs");
    git("commit", "--quiet", "-m", "Side");
    git("checkout", "--quiet", "main");
    git("commit", "--quiet", "--allow-empty", "-m", "Main");
    write("mine", "not committed\n");
    write(".git/hooks/pre-merge-commit", "#!/bin/sh\ntouch .git/in-hook; sleep 60\n");
    chmodSync(join(folder, ".git/hooks/pre-merge-commit"), 0o755);
    const stop = new AbortController();
    const doing = (await step(folder, "merge side")).run(stop.signal);
    await waitUntil(() => existsSync(join(folder, ".git/in-hook")));
    expect(existsSync(join(folder, "theirs"))).toBe(true);
    stop.abort();
    expect((await doing).attemptOutcome).toBe("cancelled");
    expect(git("status", "--short")).toBe(" M mine\n");
    expect(readFileSync(join(folder, "mine"), "utf8")).toBe("not committed\n");
  });

  it("leaves a merge alone that its user began and has not ended", async () => {
    const { folder, git, write } = repository();
    git("checkout", "--quiet", "-b", "side");
    write("file", "side\n");
    git("commit", "--quiet", "-am", "Side");
    git("checkout", "--quiet", "main");
    write("file", "main\n");
    git("commit", "--quiet", "-am", "Main");
    expect(() => git("merge", "side")).toThrow();
    write("file", "both, after an hour of thought\n");
    const result = await (await step(folder, "merge side")).run();
    expect(result).toMatchObject({ outcome: "failed", error: { kind: "exit" } });
    expect(readFileSync(join(folder, "file"), "utf8")).toBe("both, after an hour of thought\n");
    expect(git("rev-parse", "MERGE_HEAD")).toBe(git("rev-parse", "side"));
  });

  it("says what to install where there is no git", async () => {
    const { folder } = repository();
    const result = await (await step(folder, "status", { PATH: folder })).run();
    expect(result).toMatchObject({ outcome: "blocked", blocked: true, error: { kind: "missing-program" } });
    expect(result.error?.message).toMatch(/^git is not there\. .*install git/);
  });
});

describe("a git command line", () => {
  it.each([
    ["status", ["status"]],
    ["  git  log -1   --format='%h %s' ", ["log", "-1", "--format=%h %s"]],
    [`commit -m "a \\"b\\" \\\\ $x" c\\ d ''`, ["commit", "-m", 'a "b" \\ $x', "c d", ""]],
  ])("%j has the arguments it shows", (command, args) => {
    expect(parseGitCommand(command)).toEqual({ args });
  });

  it.each(["", "git", "push origin", "-c alias.x=!sh x", "--exec-path=. status", "commit -m 'open", 'add "open'])(
    "%j is refused",
    (command) => {
      expect(parseGitCommand(command)).toMatchObject({ problem: expect.stringMatching(/\.$|: /) });
    },
  );
});
