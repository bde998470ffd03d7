import { dirname, join } from "node:path";
import { fileReason } from "../file/file_reason.ts";
import { readIfThere } from "../file/read_file.ts";

/** What each file begins with: by it a file is ours to change and to remove. */
const OURS = "# Written by loden";
const MARKER = `${OURS}: other programs leave the overlay's links alone (-unmanaged-files=false ends that).`;

/** The links of the overlay, the bridge of its pods, and the hosts' ends of pods as the bridge plugin names them. */
const LINK_PATTERNS = ["flannel*", "cni0", "veth????????"];

/** Permission bits of configuration that every user may read. */
const MODE = 0o644;
/** Larger files are not ours. */
const MAX_BYTES = 64 * 1024;

/** A file that keeps one program away. */
interface UnmanagedFile {
  readonly path: string;
  readonly text: string;
  /** How the program that is running comes to know. */
  readonly hint: string;
}

/**
 * NetworkManager: behind the files that set the list anew, since this one only adds to it (NetworkManager.conf(5)).
 * systemd: before all others, as the first file that matches a link is the only one (systemd.network(5),
 * systemd.link(5)). In /etc, as networkd reads its files when it starts, before there is an agent to write them.
 */
const FILES: readonly UnmanagedFile[] = [
  {
    path: "etc/NetworkManager/conf.d/zz-loden.conf",
    text: `[keyfile]\nunmanaged-devices+=${
      LINK_PATTERNS.map((pattern) => `interface-name:${pattern}`).join(";")
    }\n`,
    hint: "NetworkManager heeds it after `systemctl reload NetworkManager`",
  },
  {
    path: "etc/systemd/network/00-loden.network",
    text: `[Match]\nName=${LINK_PATTERNS.join(" ")}\n\n[Link]\nUnmanaged=yes\n`,
    hint: "systemd-networkd, if it runs, heeds it after `networkctl reload`",
  },
  {
    // Else systemd-udevd gives a link another MAC after it was made.
    path: "etc/systemd/network/00-loden.link",
    text: `[Match]\nOriginalName=${LINK_PATTERNS.join(" ")}\n\n[Link]\nMACAddressPolicy=none\n`,
    hint: "systemd-udevd heeds it for links to come",
  },
];

/** What became of one file. */
export interface UnmanagedOutcome {
  readonly path: string;
  /** `absent`: there is no such folder, so no such program. `foreign`: it is not Loden's, and it stays. */
  readonly state: "written" | "kept" | "absent" | "foreign" | "failed";
  /** One sentence, where a person may want to know or do something. */
  readonly detail?: string;
}

/** What files are written with. */
export interface UnmanagedDeps {
  /** The host's root folder: `/`, or where a container has it. */
  readonly root: string;
  /** Puts a file in place of another, whole or not at all. */
  readonly replaceFile: (path: string, text: Iterable<string>, mode: number) => void;
}

/**
 * Writes the files that keep NetworkManager, systemd-networkd and systemd-udevd away from the overlay's links, where
 * the folders for them are. Cheap where nothing differs. Never throws: each outcome says what is.
 */
export function writeUnmanagedFiles({ root, replaceFile }: UnmanagedDeps): UnmanagedOutcome[] {
  return FILES.map(({ path: below, text, hint }) => {
    const path = join(root, below);
    return attempt(path, () => {
      if (!isFolder(dirname(path))) return { path, state: "absent" };
      const wanted = `${MARKER}\n${text}`;
      const found = readIfThere(path, MAX_BYTES);
      if (found === wanted) return { path, state: "kept" };
      if (found !== undefined && !isOurs(found)) {
        return { path, state: "foreign", detail: `${path} is not written by loden, so it stays as it is` };
      }
      replaceFile(path, [wanted], MODE);
      return { path, state: "written", detail: `${path} is written; ${hint}` };
    });
  });
}

/** The files of ours that are there, by path. */
export function unmanagedFiles(root: string): string[] {
  return FILES.map(({ path }) => join(root, path)).filter((path) => {
    try {
      return isOurs(readIfThere(path, MAX_BYTES) ?? "");
    } catch {
      return false;
    }
  });
}

/**
 * What a person should add to dhcpcd's configuration, one sentence; `undefined` if there is none, or it is there. It
 * is one file, and the operator's, so nothing is written to it (dhcpcd.conf(5)).
 */
export function dhcpcdAdvice(root: string): string | undefined {
  const path = join(root, "etc/dhcpcd.conf");
  let text: string | undefined;
  try {
    text = readIfThere(path, MAX_BYTES);
  } catch {
    return undefined;
  }
  if (text === undefined) return undefined;
  const patterns = (option: string) =>
    [...text.matchAll(new RegExp(`^[ \\t]*${option}[ \\t]+([^#\\n]*)`, "gm"))]
      .flatMap(([, list]) => list!.split(/[\s,]+/)).filter((pattern) => pattern !== "");
  const allowed = patterns("allowinterfaces");
  // Who lists what is allowed has left the overlay's links out, unless by a pattern that takes in everything.
  if (allowed.length > 0 && !allowed.some((pattern) => matchesOverlay(pattern))) return undefined;
  if (patterns("denyinterfaces").some((pattern) => matchesOverlay(pattern))) return undefined;
  return `dhcpcd may give the overlay's links addresses; add the line \`denyinterfaces ${
    LINK_PATTERNS.join(" ")
  }\` to ${path}, outside of any interface block`;
}

/** Whether a pattern of fnmatch(3) takes in the VTEPs, which is where an address does harm. */
function matchesOverlay(pattern: string): boolean {
  const source = pattern.replace(/[.+^${}()|\\]/g, "\\$&").replaceAll("*", ".*").replaceAll("?", ".");
  try {
    return new RegExp(`^(?:${source})$`).test("flannel.1");
  } catch {
    return false;
  }
}

function attempt(path: string, act: () => UnmanagedOutcome): UnmanagedOutcome {
  try {
    return act();
  } catch (error) {
    return { path, state: "failed", detail: `Cannot write ${path}: ${fileReason(error)}` };
  }
}

function isOurs(text: string): boolean {
  return text.startsWith(OURS);
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return false;
    throw error;
  }
}
