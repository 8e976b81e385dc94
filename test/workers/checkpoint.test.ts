import { mkdirSync, readdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeFiles } from "../../src/system/node-files.ts";
import { nodeProcesses } from "../../src/system/node-processes.ts";
import { Checkpoints } from "../../src/workers/checkpoint.ts";
import { Git } from "../../src/workers/git.ts";
import { tempFolder } from "../store/temp-store.ts";
import { type Entry, git, makeRepo, putTree, readTree, repoState, type Tree } from "../support/git-repo.ts";

const name = fc
  .string({ unit: fc.constantFrom(..."abß√ \n\t\"'\\*?:-#é🙂"), minLength: 1, maxLength: 4 })
  // git refuses the pattern that leaves out what is ours where a link is called `**`
  .filter((text) => text.trim() !== "" && !/^\.+$/.test(text) && text !== "**");
// git can't read its own diff of an empty file below a folder whose name ends with a blank
const path = fc
  .array(name, { minLength: 1, maxLength: 3 })
  .map((parts) => parts.join("/"))
  .filter((text) => !/[ \t]\//.test(text));
const entry: fc.Arbitrary<Entry> = fc.oneof(
  fc.record({ text: fc.string({ unit: fc.constantFrom("a", "b", "\n", "\r\n", "ä", "\0"), maxLength: 40 }) }),
  fc.record({ bytes: fc.uint8Array({ maxLength: 300 }), executable: fc.boolean() }),
  fc.record({ text: fc.constant("") }),
  fc.record({ link: fc.constantFrom("a", "../b", "nowhere/at all") }),
);
const tree: fc.Arbitrary<Tree> = fc.array(fc.tuple(path, entry), { maxLength: 8 }).map((entries) => {
  const found: Tree = {};
  for (const [at, what] of entries) {
    const clashes = Object.keys(found).some((it) => it === at || it.startsWith(`${at}/`) || at.startsWith(`${it}/`));
    if (!clashes) found[at] = what;
  }
  return found;
});

/** Some of the other tree's files lie elsewhere now, so that renames happen too. */
const moved = fc.tuple(tree, tree, fc.boolean()).map(([old, own, move]) => {
  const kept = Object.entries(old).map(
    ([at, what], index) => [move && index === 0 ? `moved ${at}` : at, what] as const,
  );
  const all: Tree = {};
  for (const [at, what] of [...Object.entries(own), ...kept])
    if (!Object.keys(all).some((it) => it === at || it.startsWith(`${at}/`) || at.startsWith(`${it}/`))) all[at] = what;
  return { old, changed: all };
});

function attemptIn(root: string, number: number) {
  const folder = join(root, "task", `a000${number}`);
  mkdirSync(folder, { recursive: true });
  const told: string[] = [];
  const world = { files: nodeFiles(), clock: { now: () => 0 } };
  const checkpoints = new Checkpoints(world, { folder, number }, (type) => told.push(type));
  return { checkpoints, folder: join(folder, "checkpoints"), told };
}

/** As the attempt of that number, which begins with a checkpoint. */
async function restore(root: string, repo: string, number: number, seq: number, keep: "unkept" | "all" = "unkept") {
  const { checkpoints } = attemptIn(root, number);
  await checkpoints.begin(gitIn(repo));
  return checkpoints.restore(seq, keep);
}

const gitIn = (folder: string) => new Git(nodeProcesses(), folder, 20_000);

describe("a checkpoint", () => {
  it("puts back every byte, mode, link and name, and touches nothing of the user's", async () => {
    const root = await tempFolder();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(tree, moved, tree, async (committed, { old, changed }, later) => {
        round += 1;
        const repo = makeRepo(join(root, `repo ${round}: "x"`), committed);
        putTree(repo, old);
        const before = repoState(repo);
        const first = attemptIn(join(root, `${round}`), 1);
        await first.checkpoints.begin(gitIn(repo));
        putTree(repo, changed);
        const wanted = readTree(repo);
        const taken = await first.checkpoints.take("end", 20_000);
        await first.checkpoints.close();
        expect(readTree(repo)).toEqual(wanted);
        putTree(repo, later);
        const overwritten = readTree(repo);
        const second = attemptIn(join(root, `${round}`), 2);
        if (!taken?.checkpoint) {
          putTree(repo, old);
          expect(readTree(repo)).toEqual(wanted);
          return;
        }
        await second.checkpoints.begin(gitIn(repo));
        await second.checkpoints.restore(taken.checkpoint.seq, "unkept");
        expect(readTree(repo)).toEqual(wanted);
        expect(repoState(repo)).toEqual(before);
        for (const backup of second.checkpoints.taken) {
          await restore(join(root, `${round}`), repo, 3, backup.seq);
          expect(readTree(repo)).toEqual(overwritten);
        }
      }),
      { numRuns: 25 },
    );
  }, 120_000);

  it("keeps what the attempt began with too, where somebody restores it by hand", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"));
    const first = attemptIn(root, 1);
    await first.checkpoints.begin(gitIn(repo));
    writeFileSync(join(repo, "new"), "new\n");
    await first.checkpoints.take("end", 20_000);
    git(repo, "clean", "-qf");
    const begun = readTree(repo);
    const restored = await restore(root, repo, 2, 1, "all");
    expect(restored).toMatchObject({ files: 1, backup: { seq: 2, files: 0, bytes: 0 } });
    expect(Object.keys(readTree(repo)).sort()).toEqual(["new", "read.me"]);
    expect(await restore(root, repo, 3, 2, "all")).toMatchObject({
      files: 1,
      backup: { seq: 3 },
    });
    expect(readTree(repo)).toEqual(begun);
    // an attempt that goes on keeps no second copy
    expect(await restore(root, repo, 4, 1)).toMatchObject({ files: 1, backup: null });
  });

  it("counts lines, and has nothing of what is ignored or ours", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"), { "a.txt": { text: "1\n2\n3\n" }, ".gitignore": { text: "built\n" } });
    const { checkpoints, folder, told } = attemptIn(root, 1);
    await checkpoints.begin(gitIn(repo));
    writeFileSync(join(repo, "a.txt"), "1\n3\n4\n5\n");
    writeFileSync(join(repo, "built"), "x\n");
    writeFileSync(join(repo, "new.bin"), Buffer.from([0, 1, 2, 255]));
    mkdirSync(join(repo, ".crew/state"), { recursive: true });
    writeFileSync(join(repo, ".crew/state/x"), "x\n");
    const taken = await checkpoints.take("end", 20_000);
    await checkpoints.close();
    expect(taken?.changes).toEqual({ locAdded: 2, locRemoved: 1, filesChanged: 2 });
    expect(told).toEqual(["checkpoint_slot_reserved", "checkpoint_created"]);
    expect(readdirSync(folder).sort()).toEqual(["0001.json", "0001.patch", "objects"]);
    const patch = readFileSync(join(folder, "0001.patch"), "latin1");
    expect(patch.match(/^diff --git .*$/gm)).toEqual(["diff --git a/a.txt b/a.txt", "diff --git a/new.bin b/new.bin"]);
  });

  it("says why there is none", async () => {
    const root = await tempFolder();
    const why = async (folder: string) => attemptIn(root, 1).checkpoints.begin(gitIn(folder)).catch(String);
    expect(await why(root)).toContain("is in no git work tree.");
    const empty = join(root, "empty");
    mkdirSync(empty);
    git(empty, "init", "-q");
    expect(await why(empty)).toContain("is a git work tree without a commit.");
    const bare = join(root, "bare");
    mkdirSync(bare);
    git(bare, "init", "-q", "--bare");
    expect(await why(bare)).toContain("is in a bare git repository.");
  });

  it("is not written through a planted link", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"));
    const { checkpoints, folder } = attemptIn(root, 1);
    mkdirSync(join(root, "elsewhere"));
    symlinkSync(join(root, "elsewhere"), folder);
    await expect(checkpoints.begin(gitIn(repo))).rejects.toThrow("is a symlink, but must be a real folder");
    expect(readdirSync(join(root, "elsewhere"))).toEqual([]);
  });

  it("that came with a repository writes nothing outside of the tree, and nothing of ours", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"), { "a.txt": { text: "1\n" } });
    const { folder } = attemptIn(root, 1);
    mkdirSync(folder);
    const forge = (tree: string, patch: string) => {
      const baseTree = git(repo, "rev-parse", "HEAD^{tree}");
      const record = { seq: 1, attempt: 1, createdAt: "", hint: "", why: "end", baseTree, tree, files: 1, bytes: 1 };
      writeFileSync(join(folder, "0001.json"), JSON.stringify(record));
      writeFileSync(join(folder, "0001.patch"), patch);
    };
    const added = (path: string) =>
      `diff --git a/${path} b/${path}\nnew file mode 100644\n--- /dev/null\n+++ b/${path}\n@@ -0,0 +1 @@\n+evil\n`;
    for (const path of ["../evil", "x/../../evil", ".git/hooks/post-checkout", "/evil"]) {
      forge("0".repeat(40), added(path));
      await expect(restore(root, repo, 2, 1), path).rejects.toThrow(
        /git does not take .*(invalid path|does not exist|No such)|is not what was written/s,
      );
    }
    expect(readdirSync(root).sort()).toEqual(["repo", "task"]);
    expect(readdirSync(join(repo, ".git/hooks"))).not.toContain("post-checkout");

    // a tree with a definition of ours in it, which git itself would write
    const blob = git(repo, "hash-object", "-w", "a.txt");
    for (const path of [".crew/config.json", "sub/.crew/agents/x.md", "b.txt"])
      git(repo, "update-index", "--add", "--cacheinfo", `100644,${blob},${path}`);
    const tree = git(repo, "write-tree");
    const patch = git(repo, "diff-tree", "-r", "-p", "--binary", "--full-index", "HEAD", tree);
    git(repo, "reset", "-q", "--hard");
    forge(tree, `${patch}\n`);
    expect(await restore(root, repo, 3, 1)).toMatchObject({ files: 1 });
    expect(Object.keys(readTree(repo)).sort()).toEqual(["a.txt", "b.txt"]);

    // neither record nor patch nor objects are looked for behind a link
    const elsewhere = join(root, "elsewhere");
    mkdirSync(join(elsewhere, "checkpoints"), { recursive: true });
    for (const name of ["0001.json", "0001.patch"]) {
      renameSync(join(folder, name), join(elsewhere, "checkpoints", name));
      symlinkSync(join(elsewhere, "checkpoints", name), join(folder, name));
    }
    await expect(restore(root, repo, 4, 1)).rejects.toThrow("none of that number");
    symlinkSync(elsewhere, join(root, "task/a0007"));
    await expect(restore(root, repo, 5, 1)).rejects.toThrow("none of that number");
    const planted = attemptIn(root, 6);
    mkdirSync(planted.folder);
    symlinkSync(elsewhere, join(planted.folder, "objects"));
    await expect(planted.checkpoints.begin(gitIn(repo))).rejects.toThrow("must be a real folder");
    expect(readdirSync(elsewhere)).toEqual(["checkpoints"]);
  });

  it("that was changed is not put back, nor one over an ignored file", async () => {
    const root = await tempFolder();
    const repo = makeRepo(join(root, "repo"));
    const first = attemptIn(root, 1);
    await first.checkpoints.begin(gitIn(repo));
    writeFileSync(join(repo, "read.me"), "second\n");
    writeFileSync(join(repo, "new"), "new\n");
    await first.checkpoints.take("end", 20_000);
    await expect(restore(root, repo, 2, 7)).rejects.toThrow("the task has none of that number");
    writeFileSync(join(repo, ".git/info/exclude"), "new\n");
    writeFileSync(join(repo, "new"), "mine\n");
    await expect(restore(root, repo, 3, 1)).rejects.toThrow("which git ignores: move it away first");
    expect(readFileSync(join(repo, "new"), "utf8")).toBe("mine\n");
    const patch = join(first.folder, "0001.patch");
    writeFileSync(patch, readFileSync(patch, "utf8").replace("+second", "+other"));
    await expect(restore(root, repo, 4, 1)).rejects.toThrow(/0001\.patch is not what was written|git does not take/);
  });
});
