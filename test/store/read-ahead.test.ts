import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ReadAhead } from "../../src/store/read-ahead.ts";
import { nodeFiles } from "../../src/system/node-files.ts";
import type { Files } from "../../src/system/world.ts";
import { tempFolder } from "./temp-store.ts";

const real = nodeFiles();
const TEXT = Array.from({ length: 50_000 }, (_, i) => String(i).padStart(9)).join("\n");

it("gives the pieces that are asked for, whether they were prepared or not, and none beyond the end", async () => {
  const path = join(await tempFolder(), "file");
  writeFileSync(path, TEXT);
  const pieces = new ReadAhead(real, path, { until: TEXT.length, pieceBytes: 100_000 });
  let text = "";
  for (let at = 0; at < TEXT.length; at = text.length) {
    const piece = await pieces.piece(at);
    // every third time it was another one that was wanted
    pieces.prepare(at + (at % 3 === 0 ? 77_777 : 90_000));
    text += piece?.toString("latin1", 0, 90_000);
  }
  expect(text).toBe(TEXT);
  const few = new ReadAhead(real, path, { until: 10, pieceBytes: 100 });
  expect(String(await few.piece(3))).toBe(TEXT.slice(3, 10));
  expect(await new ReadAhead(real, `${path}-none`, { until: 10, pieceBytes: 10 }).piece(0)).toBeNull();
});

it("a piece nobody wants does not fall into one that was asked for, and may fail unseen", async () => {
  const order: string[] = [];
  let finish: () => void = () => undefined;
  const readRange: Files["readRange"] = async (_path, at, bytesMax, room = new Uint8Array(bytesMax)) => {
    if (at === 50) await new Promise<void>((resolve) => (finish = resolve));
    order.push(`at ${at}`);
    if (at === 50) throw new Error("unreadable");
    return room.fill(at);
  };
  const pieces = new ReadAhead({ ...real, readRange }, "file", { until: 100, pieceBytes: 10 });
  expect((await pieces.piece(10))?.[0]).toBe(10);
  pieces.prepare(50);
  const wanted = pieces.piece(20);
  finish();
  expect((await wanted)?.[0]).toBe(20);
  expect(order).toEqual(["at 10", "at 50", "at 20"]);
});
