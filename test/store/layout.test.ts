import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, sep } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { attemptFolder, displayPath, prepareCrewRoot, runPaths, safeSegment } from "../../src/store/layout.ts";
import { UserError } from "../../src/system/errors.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { Files } from "../../src/system/world.ts";
import { tempFolder } from "./temp-store.ts";

describe("an id as a path segment", () => {
  it.each(
    [
      ["", ".", "..", "../x", "a/b", "/etc", "a\\b", "C:\\x", "C:x", "~", "a.b", ".hidden", "-a", "_a"],
      ["con", "prn", "aux", "nul", "com0", "com1", "com9", "lpt0", "lpt1", "CON", "nul.txt"],
      ["a.", "a ", " a", "a\n", "a\0", "a\0.json", "A", "aB", "\u00e9", "e\u0301", "\u202eabc", "a\u200b", "\u2028"],
      ["x".repeat(65), "x".repeat(300), "%2e%2e", "a;b", "$(id)", "a*", "a?b", "a:b", "a|b", "__proto__"],
    ]
      .flat()
      .map((id) => [JSON.stringify(id).slice(0, 40), id]),
  )("refuses %s", (_shown, id) => {
    for (const use of [
      () => safeSegment(id, "run id"),
      () => runPaths("/crew", id),
      () => attemptFolder("/crew", "run-1", id, 1),
      () => attemptFolder("/crew", id, "a", 1),
    ])
      expect(use).toThrow(UserError);
    expect(() => safeSegment(id, "run id")).toThrow(/can't be a run id: use 1 to 64 of a-z/);
  });

  it.each(["a", "0", "20240101-120000-abcd1234", "a_b-c", "x".repeat(64), "console", "com10", "null"])(
    "takes %s",
    (id) => {
      expect(safeSegment(id, "run id")).toBe(id);
    },
  );

  it("never leaves the folder, whatever the id", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (id) => {
        try {
          expect(runPaths("/crew", id).folder).toBe(`/crew/state/runs/${id}`);
          expect(id).not.toContain(sep);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
          // a sentence for a terminal: no control characters of the id's
          // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what is looked for
          expect((error as Error).message).not.toMatch(/[\u0000-\u001f]/);
        }
      }),
    );
  });

  it("numbers attempts so that they sort", () => {
    expect(attemptFolder("/crew", "r", "t", 1)).toBe("/crew/state/runs/r/tasks/t/a0001");
    expect(attemptFolder("/crew", "r", "t", 12345)).toBe("/crew/state/runs/r/tasks/t/a12345");
  });
});

describe("the crew root", () => {
  const files = nodeFiles();

  async function folders() {
    const root = await tempFolder();
    const [project, agent] = [join(root, "My Project!"), join(root, "agent")];
    mkdirSync(project);
    return { root, project, agent };
  }

  /** Tests run as root, whom no mode bits stop: these files say no for it. */
  function unwritable(below: string, code = "EACCES"): Files {
    const refuse = (path: string) => {
      if (path === below || path.startsWith(below + sep)) throw Object.assign(new Error(`${code}: ${path}`), { code });
    };
    return {
      ...files,
      writable: async (path) => !(path === below || path.startsWith(below + sep)),
      makeFolder: async (path) => {
        refuse(path);
        await files.makeFolder(path);
      },
      writeAtomic: async (path, data) => {
        refuse(path);
        await files.writeAtomic(path, data);
      },
    };
  }

  it("is .crew of the project, and keeps itself out of git", async () => {
    const { project, agent } = await folders();
    const root = await prepareCrewRoot(files, project, agent);
    expect(root).toBe(join(project, ".crew"));
    // what is the project's own (agents, teams, workflows, config.json) is not hidden
    expect(readFileSync(join(root, ".gitignore"), "utf8")).toBe(".gitignore\nstate/\nmetrics/\nworktrees/\n");
    expect(await readdir(join(root, "state"))).toEqual(["runs"]);
    // and again, leaving what the user wrote
    writeFileSync(join(root, ".gitignore"), "state\n");
    expect(await prepareCrewRoot(files, project, agent)).toBe(root);
    expect(readFileSync(join(root, ".gitignore"), "utf8")).toBe("state\n");
    expect(await files.facts(agent)).toBeNull();
  });

  it("is in the agent folder when the project can't be written, one for each project", async () => {
    const { root, project, agent } = await folders();
    const found = await prepareCrewRoot(unwritable(project), project, agent);
    expect(found).toMatch(/\/agent\/crew\/projects\/My-Project--[0-9a-f]{12}$/);
    expect((await files.facts(join(found, "state", "runs")))?.kind).toBe("directory");
    expect(await readdir(project)).toEqual([]);
    const twin = join(root, "deeper", "My Project!");
    mkdirSync(twin, { recursive: true });
    expect(await prepareCrewRoot(unwritable(twin), twin, agent)).not.toBe(found);
    expect(await prepareCrewRoot(unwritable(project), project, agent)).toBe(found);
  });

  it.each([".crew", ".crew/state", ".crew/state/runs"])(
    "is in the agent folder when %s can't be written",
    async (name) => {
      const { project, agent } = await folders();
      mkdirSync(join(project, ".crew/state/runs"), { recursive: true });
      expect(await prepareCrewRoot(unwritable(join(project, name)), project, agent)).toContain("/agent/crew/projects/");
    },
  );

  it.each([".crew", ".crew/state", ".crew/state/runs"])("is refused when %s is a symlink or a file", async (name) => {
    for (const kind of ["symlink", "dangling", "file"] as const) {
      const { root, project, agent } = await folders();
      mkdirSync(join(root, "elsewhere"));
      const path = join(project, name);
      mkdirSync(join(path, ".."), { recursive: true });
      if (kind === "file") writeFileSync(path, "");
      else symlinkSync(join(root, kind === "dangling" ? "nowhere" : "elsewhere"), path);
      const refusal = expect(prepareCrewRoot(files, project, agent)).rejects;
      await refusal.toBeInstanceOf(UserError);
      await expect(prepareCrewRoot(files, project, agent)).rejects.toThrow(
        `${path} is a ${kind === "file" ? "file" : "symlink"}, but must be a real folder. Remove it and try again.`,
      );
      expect(await readdir(join(root, "elsewhere"))).toEqual([]);
    }
  });

  it.each([".crew/metrics", ".crew/metrics/tasks"])("is refused when %s leads elsewhere", async (name) => {
    const { root, project, agent } = await folders();
    mkdirSync(join(root, "elsewhere"));
    mkdirSync(join(project, name, ".."), { recursive: true });
    symlinkSync(join(root, "elsewhere"), join(project, name));
    await expect(prepareCrewRoot(files, project, agent)).rejects.toThrow(`${join(project, name)} is a symlink`);
  });

  it("says what to do when nothing can be written", async () => {
    const { root, project, agent } = await folders();
    const failed = prepareCrewRoot(unwritable(root, "EROFS"), project, agent);
    await expect(failed).rejects.toBeInstanceOf(UserError);
    await expect(failed).rejects.toThrow(/can't be written \(EROFS.*Make it writable, or set PI_CODING_AGENT_DIR/);
  });

  it("does not follow a planted .gitignore", async () => {
    const { root, project, agent } = await folders();
    mkdirSync(join(project, ".crew"));
    writeFileSync(join(root, "victim"), "precious");
    symlinkSync(join(root, "victim"), join(project, ".crew/.gitignore"));
    await prepareCrewRoot(files, project, agent);
    expect(readFileSync(join(root, "victim"), "utf8")).toBe("precious");
  });
});

describe("a path for the user", () => {
  it("is relative only below where they work", () => {
    expect(displayPath("/work/p/.crew/x", "/work/p")).toBe(".crew/x");
    expect(displayPath("/work/pp/x", "/work/p")).toBe("/work/pp/x");
    expect(displayPath("/work/p", "/work/p")).toBe("/work/p");
  });
});
