/**
 * What is asked of the core, in CBOR (RFC 8949): the part of it that asks and looks are made of. A library would be larger than all
 * of this package's own script.
 */

/** Major types. */
const [NUMBER, TEXT, LIST, MAP] = [0, 3, 4, 5];
const [FALSE, TRUE, NULL] = [0xf4, 0xf5, 0xf6];

/** Texts, whole numbers from 0 to 2^32 - 1, true and false, nothing, and lists and objects of those. What is undefined is left out. */
export function toCbor(value: unknown): Uint8Array {
  const bytes: number[] = [];
  write(value, bytes);
  return Uint8Array.from(bytes);
}

function write(value: unknown, to: number[]): void {
  if (typeof value === 'string') {
    const text = new TextEncoder().encode(value);
    head(TEXT, text.length, to);
    // Not all at once: a call takes some ten thousand arguments.
    for (const byte of text) to.push(byte);
  } else if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 2 ** 32) {
    head(NUMBER, value, to);
  } else if (typeof value === 'number') {
    // No number that can be asked for; as a text the core refuses it with the name of its field.
    write(String(value), to);
  } else if (typeof value === 'boolean') {
    to.push(value ? TRUE : FALSE);
  } else if (Array.isArray(value)) {
    head(LIST, value.length, to);
    for (const one of value) write(one, to);
  } else if (value && typeof value === 'object') {
    const fields = Object.entries(value).filter(([, value]) => value !== undefined);
    head(MAP, fields.length, to);
    for (const [name, value] of fields) {
      write(name, to);
      write(value, to);
    }
  } else {
    to.push(NULL);
  }
}

function head(major: number, count: number, to: number[]): void {
  const first = major << 5;
  if (count < 24) to.push(first | count);
  else if (count < 2 ** 8) to.push(first | 24, count);
  else if (count < 2 ** 16) to.push(first | 25, count >> 8, count & 255);
  else to.push(first | 26, count >>> 24, (count >> 16) & 255, (count >> 8) & 255, count & 255);
}
