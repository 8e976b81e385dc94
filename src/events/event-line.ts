import { parseObject } from "../system/json.ts";
import type { CrewEvent } from "./crew-event.ts";
import { CREW_EVENT_TYPES } from "./event-durability.ts";

/** One event as one line: JSON whose last field is the CRC-32 of the line without it. */

const CRC_MARK = ',"crc":';
const KNOWN_TYPES: ReadonlySet<string> = new Set(CREW_EVENT_TYPES);

export type DecodedLine =
  | { kind: "event"; event: CrewEvent }
  /** Whole and intact, but of a type this version does not know: kept, counted in `seq`, ignored otherwise. */
  | { kind: "unknown"; seq: number; epoch: number }
  | { kind: "newer"; version: number }
  | { kind: "bad" };

export function encodeEventLine(event: CrewEvent): string {
  return sealedLine(event);
}

export function decodeEventLine(line: string): DecodedLine {
  const value = openSealedLine(line);
  if (value === null) return { kind: "bad" };
  const { v, seq, epoch, type } = value;
  if (typeof v === "number" && v > 1) return { kind: "newer", version: v };
  if (v !== 1 || typeof seq !== "number" || typeof epoch !== "number" || typeof type !== "string")
    return { kind: "bad" };
  if (!KNOWN_TYPES.has(type)) return { kind: "unknown", seq, epoch };
  // the checksum vouches that this is what our own encoder wrote
  return { kind: "event", event: value as unknown as CrewEvent };
}

/** Ends in a line feed. `JSON.stringify` escapes line feeds in values, so the frame holds for any text. */
export function sealedLine(value: object): string {
  const json = JSON.stringify(value);
  return `${json.slice(0, -1)}${CRC_MARK}${crc32(Buffer.from(json))}}\n`;
}

/** What was sealed, from the line without its line feed; null when it is not just what was written. */
export function openSealedLine(line: string): Record<string, unknown> | null {
  const mark = line.lastIndexOf(CRC_MARK);
  if (mark < 0 || !line.endsWith("}")) return null;
  const json = `${line.slice(0, mark)}}`;
  return Number(line.slice(mark + CRC_MARK.length, -1)) === crc32(Buffer.from(json)) ? parseObject(json) : null;
}

const TEXT = /"(?:[^"\\]|\\.)*(?:"|\\?$)/g;
/** Each text stands as one quotation mark. */
const OBJECT = /^\{[\w{}[\],:"+.-]*$/;
const NO_VALUES = /[\w.+-]"|"[\w{["+.-]/;
/** The checksum's field has more than digits, or a name that is damaged at its end. */
const BEYOND_DIGITS = /,"crc(?:":(?!\d*$)|[^"]:\d+\}$)/;

/**
 * Whether a line that is no event may be the begin of one, whose writing broke off: an object that is not closed. What
 * is damaged in a whole line, at any place, leaves it closed or no JSON.
 */
export function isCutOff(line: string): boolean {
  if (line.includes("\0") || BEYOND_DIGITS.test(line)) return false;
  const bare = line.replace(TEXT, '"');
  if (!OBJECT.test(bare) || NO_VALUES.test(bare)) return false;
  const closers: string[] = [];
  for (const char of bare) {
    if (char === "{") closers.push("}");
    else if (char === "[") closers.push("]");
    else if ((char === "}" || char === "]") && (closers.pop() !== char || closers.length === 0)) return false;
  }
  return true;
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

/** CRC-32 of IEEE 802.3. `zlib.crc32` is missing from the oldest Node we run on. */
export function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (CRC_TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}
