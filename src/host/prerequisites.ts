import type { Log } from "../log/log.ts";
import { AF_INET6 } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { ENOENT, errnoName, isErrno, NetlinkError } from "../netlink/errno.ts";
import type { Libc } from "../netlink/ffi.ts";
import { hasVxlan, nftablesFault, routerLedLink } from "./kernel_features.ts";
import { type HostNeeds, type SysctlCheck, sysctlChecks, sysctlName } from "./sysctl_checks.ts";

/** How the host is in one respect. */
export interface Prerequisite {
  /** `net.ipv4.ip_forward`, `vxlan`. */
  readonly name: string;
  /** `fixed`: only since it was set here. `degraded`: some things do not work. `fatal`: nothing does. */
  readonly verdict: "ok" | "fixed" | "degraded" | "fatal";
  /** One sentence: what is, what that means, what to do. */
  readonly detail: string;
}

/** What the checks work with. */
export interface PrerequisiteDeps {
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly log: Log;
}

const LEVELS = { ok: "info", fixed: "info", degraded: "warn", fatal: "error" } as const;

/**
 * Checks what the overlay needs of the host's kernel, and sets what it may. Cheap enough for every pass: somebody
 * else's `sysctl -p` is undone by the next one. Never throws for a host that is not as it should be.
 */
export class Prerequisites {
  readonly #deps: PrerequisiteDeps;
  /** How often each sysctl was set, and what it had been before the last time. */
  readonly #set = new Map<string, { times: number; was: number }>();
  #last = new Map<string, Prerequisite>();

  constructor(deps: PrerequisiteDeps) {
    this.#deps = deps;
  }

  /** The last verdicts; empty before the first check. */
  get last(): readonly Prerequisite[] {
    return [...this.#last.values()];
  }

  /** Looks at everything anew, and logs what has changed. */
  check(needs: HostNeeds): readonly Prerequisite[] {
    const found = [...this.#features(needs), ...this.#sysctls(needs)];
    for (const prerequisite of found) this.#tell(prerequisite);
    this.#last = new Map(found.map((prerequisite) => [prerequisite.name, prerequisite]));
    return found;
  }

  *#features({ vxlan, ownLinks, hasRules }: HostNeeds): Generator<Prerequisite> {
    const { client, libc } = this.#deps;
    if (vxlan !== "unused") {
      // Whoever has such a link need not be asked.
      const isThere = ownLinks.length > 0 || hasVxlan(client);
      const detail = isThere
        ? "the kernel makes VXLAN links"
        : "the kernel has no VXLAN, so hosts that need it can't be reached; load the module vxlan on the host, or " +
          'choose the backend "host-gw"';
      yield { name: "vxlan", verdict: isThere ? "ok" : vxlan === "needed" ? "fatal" : "degraded", detail };
    }
    if (hasRules) {
      const fault = nftablesFault(libc);
      const detail = fault === undefined
        ? "the kernel makes rules of nftables"
        : `the kernel answers ${fault} to nftables, so there are no rules for pods; load the module nf_tables on the host`;
      yield { name: "nf_tables", verdict: fault === undefined ? "ok" : "degraded", detail };
    }
  }

  *#sysctls(needs: HostNeeds): Generator<Prerequisite> {
    const hasIpv6 = needs.families.includes(AF_INET6);
    for (const check of sysctlChecks(needs, hasIpv6 ? routerLedLink(this.#deps.client) : undefined)) {
      const verdict = this.#sysctl(check);
      if (verdict !== undefined) yield { name: sysctlName(check.path), ...verdict };
    }
  }

  /** `undefined` if there is no such sysctl and that means nothing: the link has gone. */
  #sysctl(check: SysctlCheck): Omit<Prerequisite, "name"> | undefined {
    const { path, orGreater, wanted, isOurs, otherwise } = check;
    const name = sysctlName(path);
    const command = `run \`sysctl -w ${name}=${wanted}\` on the host`;
    try {
      const own = this.#read(path);
      if (own === undefined) {
        if (check.absent === undefined) return undefined;
        return { verdict: "degraded", detail: `${check.absent}, so ${otherwise}` };
      }
      const other = orGreater === undefined ? undefined : this.#read(orGreater);
      const value = Math.max(own, other ?? own);
      if (check.isGood(value)) return this.#good(check, value);
      const state = value === own ? `${name} is ${own}` : `${name} is ${value} by ${sysctlName(orGreater!)}`;
      if (!isOurs) return { verdict: "degraded", detail: `${state}, so ${otherwise}; ${command}` };
      try {
        this.#deps.libc.writeSysctl(`/proc/sys/${path}`, String(wanted));
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        const refused = `and can't be set here (${errnoName(error.errno)})`;
        return { verdict: "degraded", detail: `${state} ${refused}, so ${otherwise}; ${command}` };
      }
      this.#set.set(path, { times: (this.#set.get(path)?.times ?? 0) + 1, was: value });
      return this.#good(check, wanted);
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return { verdict: "degraded", detail: `${name} can't be read: ${errnoName(error.errno)}` };
    }
  }

  #good({ path, isLasting }: SysctlCheck, value: number): Omit<Prerequisite, "name"> {
    const set = this.#set.get(path);
    const name = sysctlName(path);
    if (set === undefined) return { verdict: "ok", detail: `${name} is ${value}` };
    const times = set.times === 1 ? "" : `, ${set.times} times since the agent started`;
    const advice = isLasting ? `; the line \`${name} = ${value}\` in /etc/sysctl.d sets it at boot` : "";
    return { verdict: "fixed", detail: `${name} was ${set.was} and was set to ${value}${times}${advice}` };
  }

  /** `undefined` if there is none. */
  #read(path: string): number | undefined {
    try {
      return Number(this.#deps.libc.readSysctl(`/proc/sys/${path}`));
    } catch (error) {
      if (isErrno(error, ENOENT)) return undefined;
      throw error;
    }
  }

  #tell(prerequisite: Prerequisite): void {
    const { name, verdict, detail } = prerequisite;
    const last = this.#last.get(name);
    if (last === undefined ? verdict === "ok" : last.verdict === verdict && last.detail === detail) return;
    this.#deps.log.write(LEVELS[verdict], "prerequisite changed", { name, verdict, detail });
  }
}
