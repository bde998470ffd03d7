import { CNI_CODE, CniError } from "./cni_error.ts";

/** What a container runtime may ask of a plugin, and from which version of the specification on. */
export const VERBS = {
  ADD: "0.1.0",
  DEL: "0.1.0",
  CHECK: "0.4.0",
  GC: "1.1.0",
  STATUS: "1.1.0",
  VERSION: "0.1.0",
} as const;

/** One of {@linkcode VERBS}. */
export type Verb = keyof typeof VERBS;

/** The versions of the CNI specification that the plugin speaks, oldest first. */
export const CNI_VERSIONS = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

/** What a configuration that names no version is. */
export const DEFAULT_VERSION = "0.1.0";

/** What `VERSION` is answered with. */
export function formatVersions(): string {
  return `${JSON.stringify({ cniVersion: CNI_VERSIONS.at(-1), supportedVersions: CNI_VERSIONS })}\n`;
}

/**
 * Checks that a configuration of `version` may be used with `verb`.
 *
 * @throws {CniError} With code 1.
 */
export function checkVersion(version: string, verb: Verb): void {
  const rank = versionRank(version);
  if (rank !== -1 && rank < versionRank(VERBS[verb])) {
    throw new CniError(
      CNI_CODE.incompatibleVersion,
      `config version does not allow ${verb}`,
      `it is ${version}; ${verb} exists since ${VERBS[verb]}`,
    );
  }
  if (rank === -1) {
    throw new CniError(
      CNI_CODE.incompatibleVersion,
      "incompatible CNI versions",
      `config is ${JSON.stringify(version)}, plugin supports ${CNI_VERSIONS.join(", ")}`,
    );
  }
}

/** The place of `version` among those that the plugin speaks; -1 for others. */
export function versionRank(version: string): number {
  return (CNI_VERSIONS as readonly string[]).indexOf(version);
}

/**
 * The highest version not above `wanted` that all plugins speak whose answers are in `spoken`; absent if there is
 * none.
 */
export function commonVersion(wanted: string, spoken: readonly (readonly string[])[]): string | undefined {
  return CNI_VERSIONS.slice(0, versionRank(wanted) + 1)
    .findLast((version) => spoken.every((versions) => versions.includes(version)));
}
