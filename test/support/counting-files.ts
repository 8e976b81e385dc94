import type { Files } from "../../src/system/world.ts";

/** Real files that count what is asked of them. */
export interface CountingFiles {
  readonly files: Files;
  /** Since the last call: how many calls there were, by name and sorted, and how many bytes they gave. */
  spent(): { calls: string[]; bytes: number };
}

export function countingFiles(real: Files): CountingFiles {
  let calls: string[] = [];
  let bytes = 0;
  function counted<T extends { length: number } | null>(name: string, data: T): T {
    calls.push(name);
    bytes += data?.length ?? 0;
    return data;
  }
  return {
    files: {
      ...real,
      read: async (path, bytesMax) => counted("read", await real.read(path, bytesMax)),
      readText: async (path, bytesMax) => counted("readText", await real.readText(path, bytesMax)),
      readRange: async (path, offset, bytesMax) => counted("readRange", await real.readRange(path, offset, bytesMax)),
      readNow: (path, offset, bytesMax) => counted("readNow", real.readNow(path, offset, bytesMax)),
      list: async (path) => {
        calls.push("list");
        return real.list(path);
      },
      facts: async (path) => {
        calls.push("facts");
        return real.facts(path);
      },
      factsNow: (path) => {
        calls.push("factsNow");
        return real.factsNow(path);
      },
    },
    spent: () => {
      const spent = { calls: calls.toSorted(), bytes };
      calls = [];
      bytes = 0;
      return spent;
    },
  };
}
