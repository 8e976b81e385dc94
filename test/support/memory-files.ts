import { posix } from "node:path";
import { type AppendHandle, FILE_BYTES_MAX, type FileFacts, type Files } from "../../src/system/world.ts";

/** Files in a map, folders implied by the paths in it. Absolute POSIX paths. */
export class MemoryFiles implements Files {
  readonly contents = new Map<string, Uint8Array>();
  readonly links = new Map<string, string>();
  readonly folders = new Set<string>();
  /** Error codes by path; reading or listing it fails with that code. */
  readonly broken = new Map<string, string>();

  constructor(texts: Readonly<Record<string, string | Uint8Array>> = {}) {
    for (const [path, data] of Object.entries(texts)) this.contents.set(path, bytesOf(data));
  }

  async read(path: string, bytesMax = FILE_BYTES_MAX): Promise<Uint8Array | null> {
    this.#failIfBroken(path);
    const bytes = this.contents.get(this.#real(path)) ?? null;
    if (bytes && bytes.length > bytesMax) throw systemError("EFBIG", path);
    return bytes;
  }

  async readText(path: string, bytesMax?: number): Promise<string | null> {
    const bytes = await this.read(path, bytesMax);
    return bytes && new TextDecoder().decode(bytes);
  }

  async readRange(path: string, offset: number, bytesMax: number): Promise<Uint8Array | null> {
    const bytes = await this.read(path);
    return bytes?.slice(offset, offset + bytesMax) ?? null;
  }

  async writeAtomic(path: string, data: string | Uint8Array): Promise<void> {
    this.#failIfBroken(path);
    this.links.delete(path);
    this.contents.set(path, bytesOf(data));
  }

  async replace(path: string, data: string | Uint8Array): Promise<void> {
    await this.writeAtomic(path, data);
  }

  async writeNew(path: string, data: string | Uint8Array): Promise<void> {
    if (this.contents.has(path) || this.links.has(path)) throw systemError("EEXIST", path);
    await this.writeAtomic(path, data);
  }

  async placeNew(path: string, data: string | Uint8Array): Promise<void> {
    await this.writeNew(path, data);
  }

  async sync(paths: readonly string[]): Promise<void> {
    for (const path of paths) this.#failIfBroken(path);
  }

  async makeFolder(path: string): Promise<void> {
    this.folders.add(path);
  }

  async list(path: string): Promise<string[]> {
    this.#failIfBroken(path);
    const names = this.#paths().flatMap((it) => (it.startsWith(`${path}/`) ? [it.slice(path.length + 1)] : []));
    return [...new Set(names.map((name) => name.split("/")[0] ?? ""))].sort();
  }

  async facts(path: string): Promise<FileFacts | null> {
    return this.factsNow(path);
  }

  readNow(path: string, offset: number, bytesMax: number): Uint8Array | null {
    this.#failIfBroken(path);
    if (this.links.has(path)) throw systemError("ELOOP", path);
    return this.contents.get(path)?.slice(offset, offset + bytesMax) ?? null;
  }

  factsNow(path: string): FileFacts | null {
    const facts = { bytes: 0, modifiedMs: 0, links: 1, inode: 1 };
    if (this.links.has(path)) return { ...facts, kind: "symlink" };
    const bytes = this.contents.get(path);
    if (bytes) return { ...facts, kind: "file", bytes: bytes.length };
    const isFolder = this.folders.has(path) || this.#paths().some((it) => it.startsWith(`${path}/`));
    return isFolder ? { ...facts, kind: "directory" } : null;
  }

  async rename(from: string, to: string): Promise<void> {
    await this.copy(from, to);
    await this.remove(from);
  }

  async remove(path: string): Promise<void> {
    for (const it of this.#paths()) {
      if (it !== path && !it.startsWith(`${path}/`)) continue;
      this.contents.delete(it);
      this.links.delete(it);
      this.folders.delete(it);
    }
  }

  async copy(from: string, to: string): Promise<void> {
    const bytes = await this.read(from);
    if (!bytes) throw systemError("ENOENT", from);
    this.contents.set(to, bytes);
  }

  openAppend(path: string): AppendHandle {
    this.#failIfBroken(path);
    const write = (data: Uint8Array | string) => {
      this.#failIfBroken(path);
      this.contents.set(path, Buffer.concat([this.contents.get(path) ?? new Uint8Array(), bytesOf(data)]));
    };
    return { write, sync: async () => this.#failIfBroken(path), close: () => undefined };
  }

  openLines(path: string): AppendHandle {
    const handle = this.openAppend(path);
    const last = this.contents.get(path)?.at(-1);
    if (last !== undefined && last !== 0x0a) handle.write("\n");
    return handle;
  }

  async writable(folder: string): Promise<boolean> {
    return !this.broken.has(folder);
  }

  async freeBytes(): Promise<number> {
    return Number.MAX_SAFE_INTEGER;
  }

  async realPath(path: string): Promise<string> {
    return this.#real(path);
  }

  watch(): Disposable {
    return { [Symbol.dispose]: () => undefined };
  }

  #paths(): string[] {
    return [...this.contents.keys(), ...this.links.keys(), ...this.folders];
  }

  #real(path: string): string {
    const target = this.links.get(path);
    return target === undefined ? path : posix.resolve(posix.dirname(path), target);
  }

  #failIfBroken(path: string): void {
    const code = this.broken.get(path);
    if (code !== undefined) throw systemError(code, path);
  }
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? new TextEncoder().encode(data) : data;
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
