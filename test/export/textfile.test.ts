import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { createTextfileExporter } from "../../src/export/textfile.ts";
import { createMetricRegistry } from "../../src/metrics/registry.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import { nodeProcesses } from "../../src/system/node-processes.ts";
import { expositionProblems } from "../support/exposition-checker.ts";

const WORLD = { files: nodeFiles(), processes: nodeProcesses() };

/** Writes its file, and is killed. */
const KILLED = `
import { createTextfileExporter } from "${resolve(import.meta.dirname, "../../src/export/textfile.ts")}";
import { nodeFiles } from "${resolve(import.meta.dirname, "../../src/system/node-files.ts")}";
import { nodeProcesses } from "${resolve(import.meta.dirname, "../../src/system/node-processes.ts")}";
await createTextfileExporter({ files: nodeFiles(), processes: nodeProcesses() }, process.argv[1], "killed").push([]);
process.kill(process.pid, "SIGKILL");
`;

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
    const exporter = createTextfileExporter(WORLD, join(path, name), "a/1");
    for (const total of [1, 2]) {
      counter.inc();
      await exporter.push(registry.snapshot());
      expect(readdirSync(path)).toEqual(["crew-a_1.prom"]);
      expect(readFileSync(join(path, "crew-a_1.prom"), "utf8")).toContain(
        `\ncrew_a_count_total{session="a/1"} ${total}\n`,
      );
    }
    expect(statSync(join(path, "crew-a_1.prom")).mode & 0o004).toBe(0o004);
    await exporter.dispose();
  });

  it("shares no file and no series with another session, and leaves neither behind", async () => {
    const path = folder();
    const { registry, counter } = counted();
    const histogram = registry.registerHistogram("crew.a.own", "h", { labels: ["session"] });
    counter.inc();
    histogram.observe({ session: "own" }, 1);
    const [one, two] = ["1", "2"].map((session) => createTextfileExporter(WORLD, join(path, "crew"), session));
    await one?.push(registry.snapshot());
    await two?.push(registry.snapshot());
    const texts = readdirSync(path).map((name) => readFileSync(join(path, name), "utf8"));
    const [head, ...lines] = texts[0]?.split("\n") ?? [];
    // a comment, which readers skip
    expect(head).toMatch(/^# pi-foreman \{/);
    expect(expositionProblems(lines.join("\n"), "text")).toEqual([]);
    expect(texts.map((text) => /session="(\d)"/.exec(text)?.[1])).toEqual(["1", "2"]);
    expect(texts[0]).toContain('crew_a_own_count{session="own"} 1');
    await one?.dispose();
    expect(readdirSync(path)).toEqual(["crew-2.prom"]);
    await two?.dispose();
    expect(readdirSync(path)).toEqual([]);
  });

  it("has nothing under way when it is disposed of", async () => {
    const path = folder();
    const { registry } = counted();
    const exporter = createTextfileExporter(WORLD, join(path, "crew"), "1");
    const pushed = exporter.push(registry.snapshot());
    await exporter.dispose();
    await pushed;
    expect(readdirSync(path)).toEqual([]);
  });

  it("removes what a killed process left, and nothing else", async () => {
    const path = folder();
    const code = ["--import", "tsx", "--input-type=module", "-e", KILLED, join(path, "crew")];
    expect(spawnSync(process.execPath, code, { cwd: resolve(import.meta.dirname, "../..") }).signal).toBe("SIGKILL");
    expect(readdirSync(path)).toEqual(["crew-killed.prom"]);
    expect(readFileSync(join(path, "crew-killed.prom"), "utf8")).not.toContain(WORLD.processes.self().hostId);
    const living = createTextfileExporter(WORLD, join(path, "crew"), "living");
    writeFileSync(join(path, "crew-other.prom"), "other_metric 1\n");
    writeFileSync(join(path, "crew-torn.prom"), "# pi-foreman {}\n");
    await living.push([]);
    expect(readdirSync(path)).toEqual(["crew-living.prom", "crew-other.prom", "crew-torn.prom"]);
    await createTextfileExporter(WORLD, join(path, "crew"), "next").push([]);
    expect(readdirSync(path)).toContain("crew-living.prom");
  });

  it("says what is wrong with the folder", async () => {
    const path = folder();
    const { registry } = counted();
    const lost = createTextfileExporter(WORLD, join(path, "none", "crew"), "1");
    await expect(lost.push(registry.snapshot())).rejects.toThrow(
      `Metrics can't be written to ${join(path, "none", "crew-1.prom")}: its folder does not exist; create it.`,
    );
    await lost.dispose();
    const refused = Object.assign(new Error("EROFS: read-only file system"), { code: "EROFS" });
    const files = { ...nodeFiles(), replace: () => Promise.reject(refused) };
    const readOnly = createTextfileExporter({ ...WORLD, files }, "/x/crew", "1");
    await expect(readOnly.push([])).rejects.toThrow("its file system is read-only; name another folder.");
  });
});
