import type { Log } from "../log/log.ts";
import { Fights, fightText } from "../loop/fights.ts";
import { AF_INET6 } from "../model/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { errnoName, NetlinkError } from "../linux/errno.ts";
import type { Libc } from "../linux/libc.ts";
import { dumpLinks } from "../rtnetlink/link.ts";
import { hasVxlan, nftablesFault, routerLedLink } from "./kernel_features.ts";
import { linksToBeLed } from "./router_links.ts";
import {
  type HostNeeds,
  IPV6_FORWARDING,
  linkSetting,
  type SysctlCheck,
  sysctlChecks,
  sysctlName,
} from "./sysctl_checks.ts";
import { readSetting, writeSetting } from "./sysctl_files.ts";

/** How the host is in one respect. */
export interface Prerequisite {
  /** `net.ipv4.ip_forward`, `vxlan`. */
  readonly name: string;
  /** `fixed`: only since it was set here. `degraded`: some things do not work. `fatal`: nothing does. */
  readonly verdict: "ok" | "fixed" | "degraded" | "fatal";
  /** One sentence: what is, what that means, what to do. */
  readonly detail: string;
  /** Whether another program changes it each time that it was set here. */
  readonly isFought?: true;
}

/** What the checks work with. */
export interface PrerequisiteDeps {
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly log: Log;
  /** The links that forwarded IPv6 although the host did not, when that was seen last in this boot. */
  readonly routerLinks?: readonly string[] | undefined;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
}

/**
 * Checks what the overlay needs of the host's kernel, and sets what it may. Cheap enough for every pass:
 * another program's `sysctl -p` is undone by the next one. Never throws for a host that is not as it should be.
 */
export class Prerequisites {
  readonly #deps: PrerequisiteDeps;
  /** How often each sysctl was set, and what it had been before the last time. */
  readonly #set = new Map<string, { times: number; was: number }>();
  /** By name, with the value that another program sets. */
  readonly #fights: Fights<number>;
  /** The paths of what was as wanted after the last look. */
  readonly #settled = new Set<string>();
  #last: readonly Prerequisite[] = [];
  #routerLinks: readonly string[] | undefined;

  constructor(deps: PrerequisiteDeps) {
    this.#deps = deps;
    this.#routerLinks = deps.routerLinks;
    this.#fights = new Fights(deps.elapsedMs);
  }

  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /**
   * The links that forwarded IPv6 although the host did not, when that was seen last in this boot: a person made them
   * so. `undefined` while the host was only seen to forward, which is then a person's decision too.
   */
  get routerLinks(): readonly string[] | undefined {
    return this.#routerLinks;
  }

  /** The last verdicts; empty before the first check. */
  get last(): readonly Prerequisite[] {
    return this.#last;
  }

  /** Looks at everything anew, and logs what it sets. */
  check(needs: HostNeeds): readonly Prerequisite[] {
    this.#fights.look();
    return this.#last = [...this.#features(needs), ...this.#sysctls(needs)];
  }

  *#features({ vxlan, ownLinks, hasRules }: HostNeeds): Generator<Prerequisite> {
    const { client, libc } = this.#deps;
    if (vxlan !== "unused") {
      // A kernel that has such a link need not be asked.
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
    const verdicts = new Map<string, Prerequisite["verdict"]>();
    const hasIpv6 = needs.families.includes(AF_INET6);
    for (const check of sysctlChecks(needs, hasIpv6 ? this.#routerLedLinks(needs) : [])) {
      const early = (check.after ?? []).filter((path) => verdicts.get(path) === "degraded");
      const found = this.#sysctl(check, early);
      if (found === undefined) continue;
      verdicts.set(check.path, found.verdict);
      yield { name: sysctlName(check.path), ...found };
    }
  }

  /**
   * The links over which routers may lead this host: what listens to them before the host forwards is to listen
   * afterwards, also what comes later. Where the host forwarded already when it was first looked at, only the link of a
   * route that is there: on the others routers were not listened to.
   */
  #routerLedLinks(needs: HostNeeds): string[] {
    const { client, libc } = this.#deps;
    const led = routerLedLink(client);
    const known = led === undefined ? [] : [led];
    try {
      const isForwarding = readSetting(libc, IPV6_FORWARDING) !== 0;
      if (isForwarding && this.#routerLinks === undefined) return known;
      const { underlayLink, ownLinks, podsBridge } = needs;
      const never = podsBridge === undefined ? ownLinks : [...ownLinks, podsBridge];
      const links = linksToBeLed(dumpLinks(client), { underlayLink, never });
      if (!isForwarding) {
        this.#routerLinks = links.filter((link) =>
          readSetting(libc, linkSetting(AF_INET6, link, "forwarding")) === 1
        );
      }
      const listening = links.filter((link) => !this.#routerLinks!.includes(link));
      return [...new Set([...known, ...listening])];
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return known;
    }
  }

  /**
   * `undefined` if there is no such sysctl and that means nothing: the link has gone.
   *
   * @param early Paths that are not as they must be before this one may be set.
   */
  #sysctl(check: SysctlCheck, early: readonly string[]): Omit<Prerequisite, "name"> | undefined {
    const { path, orGreater, wanted, isOurs, otherwise } = check;
    const { libc, log } = this.#deps;
    const name = sysctlName(path);
    // sysctl(8) sets them in this order.
    const settings = [...early.map((path) => `${sysctlName(path)}=2`), `${name}=${wanted}`];
    const command = `run \`sysctl -w ${settings.join(" ")}\` on the host`;
    const wasSettled = this.#settled.delete(path);
    try {
      const own = readSetting(libc, path);
      if (own === undefined) {
        if (check.absent === undefined) return undefined;
        return { verdict: "degraded", detail: `${check.absent}, so ${otherwise}` };
      }
      const other = orGreater === undefined ? undefined : readSetting(libc, orGreater);
      const value = Math.max(own, other ?? own);
      if (check.isGood(value)) {
        this.#settled.add(path);
        return this.#fought(check) ?? this.#good(check, value);
      }
      const state = value === own ? `${name} is ${own}` : `${name} is ${value} by ${sysctlName(orGreater!)}`;
      if (!isOurs) return { verdict: "degraded", detail: `${state}, so ${otherwise}; ${command}` };
      if (early.length > 0) {
        const held = `and stays so, as ${check.tooEarly} while ${early.map(sysctlName).join(" and ")} is 1`;
        return { verdict: "degraded", detail: `${state} ${held}, so ${otherwise}; ${command}` };
      }
      if (this.#fights.meet(name, wasSettled, () => value)) return this.#fought(check);
      try {
        writeSetting(libc, path, wanted);
      } catch (error) {
        if (!(error instanceof NetlinkError)) throw error;
        const refused = `and can't be set here (${errnoName(error.errno)})`;
        return { verdict: "degraded", detail: `${state} ${refused}, so ${otherwise}; ${command}` };
      }
      this.#settled.add(path);
      this.#set.set(path, { times: (this.#set.get(path)?.times ?? 0) + 1, was: value });
      const fixed = this.#good(check, wanted);
      log.write("info", "sysctl set", { detail: fixed.detail });
      return this.#fought(check) ?? fixed;
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      return { verdict: "degraded", detail: `${name} can't be read: ${errnoName(error.errno)}` };
    }
  }

  /** What is told for as long as another program changes a setting again and again, be it as wanted now or not. */
  #fought({ path, otherwise }: SysctlCheck): Omit<Prerequisite, "name"> | undefined {
    const name = sysctlName(path);
    const fight = this.#fights.standing.find(({ thing }) => thing === name);
    if (fight === undefined) return undefined;
    const detail = `${fightText(fight, `set to ${fight.about}`)}; while it is so ${otherwise}`;
    return { verdict: fight.everySeconds === undefined ? "fixed" : "degraded", detail, isFought: true };
  }

  #good({ path, isLasting }: SysctlCheck, value: number): Omit<Prerequisite, "name"> {
    const set = this.#set.get(path);
    const name = sysctlName(path);
    if (set === undefined) return { verdict: "ok", detail: `${name} is ${value}` };
    const times = set.times === 1 ? "" : `, ${set.times} times since the agent started`;
    const advice = isLasting ? `; the line \`${name} = ${value}\` in /etc/sysctl.d sets it at boot` : "";
    return { verdict: "fixed", detail: `${name} was ${set.was} and was set to ${value}${times}${advice}` };
  }
}
