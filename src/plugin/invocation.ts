import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import { CNI_NAME, ifnameFault, isCniName, MAX_IFNAME_BYTES } from "../pods/cni_name.ts";
import type { Variables } from "../pods/settings.ts";
import { type Verb, VERBS } from "../pods/versions.ts";

/** What a runtime says in the environment, checked as far as the verb needs it. */
export interface Invocation {
  readonly verb: Verb;
  readonly containerId: string;
  readonly ifname: string;
  /** Where the pod's network namespace is; empty if it is gone or not needed. */
  readonly netns: string;
  /** The folders in which plugins are looked for, in order. */
  readonly pluginFolders: readonly string[];
  /** Whether the network namespace may be the plugin's own. */
  readonly isOwnNetnsAllowed: boolean;
}

const REQUIRED: Readonly<Record<Verb, readonly string[]>> = {
  ADD: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  DEL: ["CNI_CONTAINERID", "CNI_IFNAME", "CNI_PATH"],
  CHECK: ["CNI_CONTAINERID", "CNI_NETNS", "CNI_IFNAME", "CNI_PATH"],
  GC: ["CNI_PATH"],
  STATUS: ["CNI_PATH"],
  VERSION: [],
};

/** A state file is named `CONTAINER@IFNAME`, and hidden while it is written: at most 255 bytes, ext4's limit. */
const MAX_CONTAINER_ID_BYTES = 255 - 2 - MAX_IFNAME_BYTES;

/**
 * Reads what the runtime asks for. All that is missing is named at once.
 *
 * Source: CNI specification 1.1.0, section "Parameters"; limits as in the specification's Go library.
 *
 * @throws {CniError} With code 4.
 */
export function readInvocation(variables: Variables): Invocation {
  const verb = variables.CNI_COMMAND ?? "";
  if (!isVerb(verb)) {
    throw wrong(`unknown CNI_COMMAND: ${verb}`, `must be one of ${Object.keys(VERBS).join(", ")}`);
  }
  const missing = REQUIRED[verb].filter((name) => !variables[name]);
  if (missing.length > 0) throw wrong(`required env variables [${missing.join(",")}] missing`);
  const { CNI_CONTAINERID: containerId = "", CNI_IFNAME: ifname = "", CNI_NETNS: netns = "" } = variables;
  if (REQUIRED[verb].includes("CNI_CONTAINERID")) {
    checkContainerId(containerId);
    if (verb !== "DEL") checkLength(containerId);
    checkIfname(ifname);
  }
  return {
    verb,
    containerId,
    ifname,
    netns,
    pluginFolders: (variables.CNI_PATH ?? "").split(":").filter((folder) => folder !== ""),
    isOwnNetnsAllowed: /^(1|true)$/i.test(variables.CNI_NETNS_OVERRIDE ?? ""),
  };
}

function isVerb(text: string): text is Verb {
  return Object.hasOwn(VERBS, text);
}

function checkContainerId(containerId: string): void {
  if (!isCniName(containerId)) {
    throw wrong(
      "invalid characters in CNI_CONTAINERID",
      `${quoted(containerId)} does not match ${CNI_NAME.source}`,
    );
  }
}

/** What is too long to be attached is not there to be detached. */
function checkLength(containerId: string): void {
  if (containerId.length > MAX_CONTAINER_ID_BYTES) {
    throw wrong("CNI_CONTAINERID is too long", `${containerId.length} of ${MAX_CONTAINER_ID_BYTES} bytes`);
  }
}

function checkIfname(ifname: string): void {
  const fault = ifnameFault(ifname);
  if (fault !== undefined) throw wrong(`invalid CNI_IFNAME ${quoted(ifname)}`, fault);
}

function quoted(text: string): string {
  return JSON.stringify(text.length <= 80 ? text : `${text.slice(0, 80)}…`);
}

function wrong(message: string, details?: string): CniError {
  return new CniError(CNI_CODE.invalidEnvironment, message, details);
}
