import { dirname, resolve } from "node:path";
import { UsageError } from "../../config/usage_error.ts";
import { fileReason } from "../../file/file_reason.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { within } from "../../loop/pause.ts";
import { VERSION } from "../../model/version.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { openDoctorPlace } from "../doctor/doctor.ts";
import type { DoctorPlace } from "../doctor/place.ts";
import { collect, type Collected } from "./collect.ts";
import { hostEntries } from "./host_entries.ts";
import { KERNEL_ENTRIES } from "./kernel_entries.ts";
import { knownSecrets } from "./known_secrets.ts";
import { Redactor } from "./redactor.ts";
import { gzip, tarOf } from "./tar.ts";
import { SUPPORT_BUNDLE_USAGE } from "./usage.ts";

/** Only its owner reads it. */
const MODE = 0o600;
/** What a folder may take to be looked at. */
const FOLDER_MS = 1000;
/** Files with secrets that take longer are not read; patterns find what is in them. */
const SECRETS_MS = 1500;

/** Collects what others need to know of this host in one file. */
export async function runSupportBundle(
  args: readonly string[],
  { output, signal }: Place,
): Promise<number> {
  const asked = readCommandWords(args, SUPPORT_BUNDLE_USAGE);
  if (asked === undefined) {
    output.say(commandHelp(SUPPORT_BUNDLE_USAGE));
    return EXIT.done;
  }
  const { values, words, agentArgs } = asked;
  if (words.length > 0) {
    throw new UsageError(`Cannot read ${JSON.stringify(words[0])}: support-bundle takes flags alone`);
  }
  const at = new Date();
  using place = openDoctorPlace(agentArgs, Deno.env.toObject(), { signal });
  const folder = `loden-support-${hostName(place)}-${
    at.toISOString().replace(/\.\d+Z$/, "Z").replaceAll(/[-:]/g, "")
  }`;
  const path = resolve(values.get("output") as string || `${folder}.tar.gz`);
  await requireFolder(path);
  // What would hold the archive is made first: nothing is collected that can't be kept.
  using file = await create(path);
  try {
    const secrets = within(knownSecrets(place), SECRETS_MS);
    const redactor = secrets.then((known) => new Redactor(known ?? []));
    const entries = [...hostEntries(signal), ...KERNEL_ENTRIES];
    const { files, collected } = await collect(entries, place, { redactor, signal });
    const manifest = { version: VERSION, collectedAt: at.toISOString(), entries: collected };
    const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
    const all = [{ name: "manifest.json", bytes: new TextEncoder().encode(text) }, ...files]
      .map(({ name, bytes }) => ({ name: `${folder}/${name}`, bytes }));
    const bytes = await gzip(tarOf(all, { mtimeMs: at.getTime() }));
    for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
    if (values.get("json") === true) {
      output.say(JSON.stringify(printableIn({ path, bytes: bytes.length, ...manifest }), undefined, 2));
    } else for (const line of summary(path, bytes.length, collected)) output.say(wholeLine(line));
    return EXIT.done;
  } catch (error) {
    await Deno.remove(path).catch(() => {});
    throw error;
  }
}

/** The name of this host, as far as it is fit for a file's. */
function hostName(place: DoctorPlace): string {
  const name = place.kernelFile("/proc/sys/kernel/hostname") ?? "";
  return name.replaceAll(/[^\w.-]/g, "_").slice(0, 40) || "host";
}

async function requireFolder(path: string): Promise<void> {
  const folder = dirname(path);
  const found = await within(Deno.stat(folder).catch((error) => ({ error })), FOLDER_MS);
  const cannot = (reason: string) =>
    new Error(`Cannot write ${path}: ${reason}; name another place with --output`);
  if (found === undefined) throw cannot(`${folder} was not seen within ${FOLDER_MS / 1000} s`);
  if ("error" in found) throw cannot(fileReason(found.error));
}

/** A new file of that name; what is there, also a link, is not touched. */
async function create(path: string): Promise<Deno.FsFile> {
  try {
    return await Deno.open(path, { write: true, createNew: true, mode: MODE });
  } catch (error) {
    const reason = error instanceof Deno.errors.AlreadyExists ? "it is there already" : fileReason(error);
    throw new Error(`Cannot write ${path}: ${reason}; name another file with --output`, { cause: error });
  }
}

/** One screen: what is in it, what is not, where it lies. */
export function summary(path: string, bytes: number, collected: readonly Collected[]): string[] {
  const kib = (bytes: number) => `${Math.max(Math.round(bytes / 1024), 1)} KiB`;
  const there = collected.filter(({ reason }) => reason === undefined);
  const missing = collected.filter(({ reason }) => reason !== undefined);
  return [
    `collected:     ${there.map(({ name, isCut }) => isCut ? `${name} (cut)` : name).join(", ")}`,
    ...missing.map(({ name, reason }) => `not collected: ${name}: ${reason!.slice(0, 200)}`),
    "",
    `${path}, ${kib(bytes)}, for its owner's eyes: look into it before you give it away`,
    "Passwords, tokens, keys and variables are left out; addresses and names of hosts are in it.",
  ];
}
