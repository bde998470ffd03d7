/**
 * `@std/testing/snapshot`, as far as tests here use it: see `bdd.ts`. `deno test -A FILE -- --update` writes a test
 * file's snapshots anew.
 *
 * @module
 */
import { assertEquals } from "@std/assert";

/** The snapshots of one test file. */
interface Snapshots {
  readonly path: string;
  /** As they were when the tests began; nothing where there is no file. */
  readonly saved: Readonly<Record<string, string>>;
  readonly found: Map<string, string>;
}

const files = new Map<string, Promise<Snapshots>>();

/**
 * Compares a value with what it was when the snapshot was taken, a file in the folder `__snapshots__` beside the test.
 *
 * @throws {AssertionError} If it is another one, or if there is no snapshot of it.
 */
export async function assertSnapshot(context: Deno.TestContext, actual: unknown): Promise<void> {
  let opened = files.get(context.origin);
  if (opened === undefined) files.set(context.origin, opened = openSnapshots(context.origin));
  const { path, saved, found } = await opened;
  const test = nameOf(context);
  let count = 1;
  while (found.has(`${test} ${count}`)) count++;
  const name = `${test} ${count}`;
  const text = serialize(actual);
  found.set(name, text);
  if (isUpdating()) return;
  const expected = saved[name];
  if (expected === undefined) {
    throw new Error(`Cannot compare with snapshot ${name}: ${path} has none; ${HINT}`);
  }
  assertEquals(text, expected.replace(/^\n([^]*)\n$/, "$1"), `it is no longer as in ${path}; ${HINT}`);
}

const HINT = "if it is as it should be, write it with `deno test -A FILE -- --update`";

/** A value as text that says all of it. */
function serialize(actual: unknown): string {
  return Deno.inspect(actual, {
    depth: Infinity,
    sorted: true,
    trailingComma: true,
    compact: false,
    iterableLimit: Infinity,
    strAbbreviateSize: Infinity,
    breakLength: Infinity,
    escapeSequences: false,
  }).replaceAll("\r", "\\r");
}

/** The text of a file with snapshots: a module, so that each text can be read as it is. */
function formatSnapshots(found: ReadonlyMap<string, string>): string {
  const entries = [...found].map(([name, text]) =>
    `snapshot[${quote(name)}] = ${quote(text.includes("\n") ? `\n${text}\n` : text)};\n`
  );
  return ["export const snapshot = {};\n", ...entries].join("\n");
}

function quote(text: string): string {
  return `\`${text.replace(/[\\`$]/g, "\\$&")}\``;
}

function nameOf({ name, parent }: Deno.TestContext): string {
  return parent === undefined ? name : `${nameOf(parent)} > ${name}`;
}

function isUpdating(): boolean {
  return Deno.args.includes("--update");
}

async function openSnapshots(origin: string): Promise<Snapshots> {
  const file = origin.slice(origin.lastIndexOf("/") + 1);
  const url = new URL(`__snapshots__/${file}.snap`, origin);
  const snapshots = { path: url.pathname, saved: await readSnapshots(url), found: new Map<string, string>() };
  // The last test is not known before all have run.
  if (isUpdating()) globalThis.addEventListener("unload", () => writeSnapshots(url, snapshots.found));
  return snapshots;
}

async function readSnapshots(url: URL): Promise<Readonly<Record<string, string>>> {
  try {
    await Deno.stat(url);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return {};
    throw error;
  }
  return (await import(url.href)).snapshot;
}

function writeSnapshots(url: URL, found: ReadonlyMap<string, string>): void {
  Deno.mkdirSync(new URL(".", url), { recursive: true });
  Deno.writeTextFileSync(url, formatSnapshots(found));
}
