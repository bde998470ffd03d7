import {
  BOOT_ID_PATH,
  type BootAnswer,
  type BootIdentity,
  bootIdentityPath,
  compareBoots,
  earlierBootIdentityPath,
  keepBootIdentity,
  readBootIdentity,
} from "../host/boot_identity.ts";
import { replaceFile } from "../file/replace_file.ts";
import type { Log } from "../log/log.ts";
import type { Address } from "../model/address.ts";
import type { Condition } from "../model/condition.ts";
import type { Underlay } from "../model/underlay.ts";
import type { Libc } from "../linux/libc.ts";
import { orWarn } from "./best_effort.ts";
import { KeptFile } from "./kept_file.ts";

/** The link and MAC that tell this machine from another; `undefined` where the MAC is not the machine's own. */
export function identifyingLink({ linkName, mac, hasOwnMac = true }: Underlay): BootIdentity["underlay"] {
  return mac === undefined || !hasOwnMac ? undefined : { linkName, mac };
}

/** Knows what was in use when the agent ran last, and keeps what is in use for the next one. */
export class BootKeeper {
  readonly #path: string;
  readonly #log: Log;
  readonly #file: KeptFile;
  /** Which boot this is; empty where that is not known. */
  readonly bootId: string;
  readonly #before: BootIdentity | string;

  constructor(subnetFilePath: string, deps: { readonly libc: Libc; readonly log: Log }) {
    const { libc, log } = deps;
    this.#path = bootIdentityPath(subnetFilePath);
    this.#log = log;
    this.#file = new KeptFile(`what this host is known by, ${this.#path},`);
    this.bootId = orWarn("boot not looked up", log, () => libc.readSysctl(BOOT_ID_PATH)) ?? "";
    const before = readBootIdentity(this.#path);
    // What an earlier version wrote may be another agent's of this folder, which nothing in it takes for this one's.
    const earlier = typeof before === "string"
      ? readBootIdentity(earlierBootIdentityPath(subnetFilePath))
      : "";
    this.#before = typeof earlier === "string" ? before : earlier;
  }

  /** This host's addresses in the underlay when an agent of this boot ran last. */
  get lastAddresses(): readonly Address[] {
    const before = this.#before;
    return typeof before === "string" || before.bootId !== this.bootId ? [] : before.addresses;
  }

  /** The links that forwarded IPv6 before the host did in this boot; `undefined` where that was never seen. */
  get routerLinks(): readonly string[] | undefined {
    const before = this.#before;
    return typeof before === "string" || before.bootId !== this.bootId ? undefined : before.routerLinks;
  }

  /** What has happened since the agent ran last, now that the underlay is known. */
  look(underlay: Underlay): BootAnswer {
    const answer = compareBoots(this.#before, { bootId: this.bootId, underlay: identifyingLink(underlay) });
    this.#log.write("info", "boot looked up", { boot: answer.kind, reason: answer.reason });
    return answer;
  }

  /** That the next agent will not know it, if so. */
  get conditions(): readonly Condition[] {
    return this.#file.conditions;
  }

  /** Sees to it that the next agent knows what is in use. */
  keep(identity: Omit<BootIdentity, "bootId">): void {
    this.#file.write(() => {
      keepBootIdentity(this.#path, { bootId: this.bootId, ...identity }, replaceFile);
    });
  }
}
