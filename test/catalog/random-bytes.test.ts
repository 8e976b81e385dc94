import fc from "fast-check";
import { expect, test } from "vitest";
import { readDocument } from "../../src/catalog/frontmatter.ts";
import { type CatalogFolder, loadCatalog } from "../../src/catalog/load-catalog.ts";
import { Problems } from "../../src/catalog/problems.ts";
import { MemoryFiles } from "../support/memory-files.ts";

const FOLDERS: CatalogFolder[] = [{ origin: "user", root: "/user", holds: "crew" }];

const piece = fc.constantFrom(
  "---\n",
  "\n",
  "name: ",
  "roles:\n",
  "steps:\n",
  "  - ",
  "## a\n",
  "role: ",
  "dependsOn: ",
  "a",
  ", ",
  ": ",
  "[",
  "]",
  "{",
  "}",
  "&x ",
  "*x",
  "!!",
  "<<: ",
  "? ",
  '"',
  "'",
  "|\n",
  "\t",
  "# ",
  "```\n",
  "{outputs.a}",
  "__proto__",
  "\u0000",
);
const text = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.array(piece).map((pieces) => pieces.join("")),
  fc.array(piece).map((pieces) => `---\n${pieces.join("")}\n---\n${pieces.join("")}`),
);

test("whatever the bytes, nothing is thrown and every bad file is reported", async () => {
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    text.map((it) => new TextEncoder().encode(it)),
  );
  const property = fc.asyncProperty(bytes, async (data) => {
    const files = new MemoryFiles({
      "/user/agents/a.md": data,
      "/user/teams/a.team.md": data,
      "/user/workflows/a.workflow.md": data,
    });
    const catalog = await loadCatalog(files, FOLDERS);
    const used = catalog.agents.size + catalog.teams.size + catalog.workflows.size;
    const bad = new Set(catalog.problems.filter((it) => it.severity === "error").map((it) => it.file));
    expect(catalog.problems.every(({ line, message }) => line >= 1 && message.length > 10)).toBe(true);
    const disabled = /enabled|disabled/i.test(new TextDecoder().decode(data));
    if (!disabled) expect(used + bad.size).toBe(3);
  });
  await fc.assert(property, { numRuns: 400 });
});

test("a line of a problem is a line of the file", async () => {
  const property = fc.asyncProperty(text, async (data) => {
    const problems = new Problems("x");
    await readDocument(data, problems);
    const lines = data.split(/\r\n|\n|\r/).length;
    expect(problems.list.every(({ line }) => line >= 1 && line <= lines)).toBe(true);
  });
  await fc.assert(property, { numRuns: 400 });
});
