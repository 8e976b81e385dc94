import { describe, expect, it } from "vitest";
import { agreeToCommands, requireAgreed } from "../../src/host/agreed-commands.ts";
import type { RunManifest } from "../../src/runs/manifest.ts";
import { manifestOf, taskSpec } from "../runs/small-manifest.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const shell = (command: string) => taskSpec("build", { kind: "shell", command });

function manifest(tasks = [shell("make")], hash = "h1"): RunManifest {
  const made = manifestOf(tasks);
  return { ...made, definitionHashes: { [`workflow:${made.workflow}`]: hash } };
}

/** A project's session whose user answers so; null: there is none. */
function session(answer: boolean | null, files = new MemoryFiles(), cwd = "/p", inTerminal = false) {
  const asked: string[] = [];
  const choices: string[][] = [];
  const confirm = async (_title: string, message: string) => {
    asked.push(message);
    return answer === true;
  };
  const select = async (_title: string, options: string[]) => {
    choices.push(options);
    return options[answer === true ? 1 : 0];
  };
  const context = answer === null ? null : { hasUI: true, ui: { confirm, select } };
  const dialogs = { inTerminal, during: (dialog: () => Promise<unknown>) => dialog() } as never;
  const parts = { world: { files }, agentDir: "/agent", cwd, context: context as never, dialogs };
  return { place: { ...parts, defer: () => undefined }, asked, choices, files };
}

describe("a project's commands", () => {
  it("are declined by an Enter that was meant for something else", async () => {
    const { place, choices } = session(false, new MemoryFiles(), "/p", true);
    await expect(agreeToCommands(place, manifest([shell("make")]), "project")).rejects.toThrow("did not agree");
    expect(choices).toEqual([["No", "Yes, run them"]]);
    const willing = session(true, new MemoryFiles(), "/p", true);
    await agreeToCommands(willing.place, manifest([shell("make")]), "project");
    await requireAgreed(willing.place, manifest([shell("make")]));
  });

  it("are asked about once, with all that is to run", async () => {
    const { place, asked } = session(true);
    const agent = { kind: "pi", command: "" } as const;
    const gated = taskSpec("agent", { ...agent, verify: "npm test" });
    const tasks = [shell("make\u001b[2K all"), gated, taskSpec("plain", agent)];
    await agreeToCommands(place, manifest(tasks), "project");
    await agreeToCommands(place, manifest(tasks), "project");
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatch(/^build: shell make all\nagent: verify: npm test\nThey run with your rights/);
    await requireAgreed(place, manifest(tasks));
    // a run that does a part of it again asks nothing
    await requireAgreed(place, manifest(tasks.slice(1)));
  });

  it.each([
    ["another command", manifest([shell("make evil")])],
    ["a changed file", manifest([shell("make")], "h2")],
    ["a command of another kind", manifest([taskSpec("build", { kind: "git", command: "make" })])],
    ["another task of codex", manifest([taskSpec("build", { kind: "codex", command: "", task: "be evil" })])],
    ["a verify beside it", manifest([{ ...shell("make"), verify: "make evil" }])],
  ])("are not agreed to for %s, whatever a run's file says", async (_name, other) => {
    const { place } = session(true);
    const codex = taskSpec("write", { kind: "codex", command: "", task: "be good" });
    await agreeToCommands(place, manifest([shell("make"), codex]), "project");
    await requireAgreed(place, manifest([codex]));
    await expect(requireAgreed(place, other)).rejects.toMatchObject({ code: "not-agreed" });
  });

  it("are agreed to for one project, and not by a file that can't be understood", async () => {
    const { place, files } = session(true);
    await agreeToCommands(place, manifest(), "project");
    const elsewhere = session(null, files, "/elsewhere").place;
    await expect(requireAgreed(elsewhere, manifest())).rejects.toMatchObject({ code: "not-agreed" });
    for (const text of ["{", "[]", '{"/p":{"0":true}}', '{"/p":"x"}']) {
      await files.writeAtomic("/agent/crew/agreed.json", text);
      await expect(requireAgreed(place, manifest())).rejects.toMatchObject({ code: "not-agreed" });
    }
  });

  it("run neither against the user's word nor where there is none to ask", async () => {
    const no = session(false).place;
    await expect(agreeToCommands(no, manifest(), "project")).rejects.toMatchObject({ code: "not-agreed" });
    await expect(requireAgreed(no, manifest())).rejects.toMatchObject({ code: "not-agreed" });
    const nobody = session(null).place;
    await expect(agreeToCommands(nobody, manifest(), "project")).rejects.toMatchObject({
      message: expect.stringMatching(/build: shell make\. There is nobody to ask here\. Start it once with \/team-run/),
    });
    // the user's own files are the user's word
    await agreeToCommands(nobody, manifest(), "user");
    await requireAgreed(nobody, manifest());
  });
});
