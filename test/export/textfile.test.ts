import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createTextfileExporter } from "../../src/export/textfile.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { nodeFiles } from "../../src/system/node-files.ts";

function folder() {
  const path = mkdtempSync(join(tmpdir(), "foreman-textfile-"));
  onTestFinished(() => {
    chmodSync(path, 0o700);
    rmSync(path, { recursive: true });
  });
  return path;
}

function counted() {
  const registry = createMetricRegistry();
  return { registry, counter: registry.registerCounter("crew.a.count", "h") };
}

describe("the textfile exporter", () => {
  it.each([["crew"], ["crew.prom"]])("writes %s as a file the collector reads, each time anew", async (name) => {
    const path = folder();
    const { registry, counter } = counted();
    const exporter = createTextfileExporter(nodeFiles(), join(path, name));
    for (const total of [1, 2]) {
      counter.inc();
      await exporter.push(registry.snapshot());
      expect(readdirSync(path)).toEqual(["crew.prom"]);
      expect(readFileSync(join(path, "crew.prom"), "utf8")).toContain(`\ncrew_a_count_total ${total}\n`);
    }
    expect(statSync(join(path, "crew.prom")).mode & 0o004).toBe(0o004);
    await exporter.dispose();
  });

  it("leaves what it last wrote, and has nothing under way when it is disposed of", async () => {
    const path = folder();
    const { registry } = counted();
    const exporter = createTextfileExporter(nodeFiles(), join(path, "crew"));
    const pushed = exporter.push(registry.snapshot());
    await exporter.dispose();
    expect(readdirSync(path)).toEqual(["crew.prom"]);
    await pushed;
  });

  it("says what is wrong with the folder", async () => {
    const path = folder();
    const { registry } = counted();
    const lost = createTextfileExporter(nodeFiles(), join(path, "none", "crew"));
    await expect(lost.push(registry.snapshot())).rejects.toThrow(
      `Metrics can't be written to ${join(path, "none", "crew.prom")}: its folder does not exist; create it.`,
    );
    await lost.dispose();
    const refused = Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
    const readOnly = createTextfileExporter({ writeAtomic: () => Promise.reject(refused) }, "/x/crew");
    await expect(readOnly.push([])).rejects.toThrow("its file system is read-only; name another folder.");
  });
});
