import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { pidsInListing } from "../../src/system/node-processes.ts";

describe("processes by their environment in a listing", () => {
  it("are those with the very word", () => {
    const listing = [
      "    7 node a.js PATH=/bin FOREMAN_ATTEMPT=r/t/a0001 HOME=/h",
      "   81 node b.js FOREMAN_ATTEMPT=r/t/a00012",
      "  912 node c.js X_FOREMAN_ATTEMPT=r/t/a0001",
      " 4000 sh FOREMAN_ATTEMPT=r/t/a0001",
      "",
      "garbage FOREMAN_ATTEMPT=r/t/a0001",
    ].join("\n");
    expect(pidsInListing(listing, ["FOREMAN_OTHER=x", "FOREMAN_ATTEMPT=r/t/a0001"])).toEqual([7, 4000]);
  });

  it.skipIf(process.platform === "win32")("are found in what a real ps prints", async () => {
    const value = `r/t/${process.pid}`;
    const child = spawn("sleep", ["30"], { env: { ...process.env, FOREMAN_LISTED: value }, stdio: "ignore" });
    await once(child, "spawn");
    const options =
      process.platform === "darwin" ? ["-axEww", "-o", "pid=,command="] : ["axeww", "-o", "pid=,command="];
    const listing = execFileSync("ps", options, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 });
    expect(pidsInListing(listing, [`FOREMAN_LISTED=${value}`])).toEqual([child.pid]);
    child.kill("SIGKILL");
  });
});
