import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { Fights, fightText } from "../loop/fights.ts";
import type { Ethtool } from "../linux/ethtool.ts";
import { NetlinkError } from "../linux/errno.ts";
import { formatKernelVersion, type KernelVersion } from "./kernel_version.ts";

/** What `-vxlan-tx-checksum` may say. */
export type TxChecksumMode = "auto" | "on" | "off";

/** What `auto` decides by. */
export interface TxChecksumFacts {
  /** The drivers of the underlay's link, and of all links below it. */
  readonly drivers: readonly string[];
  readonly kernel: KernelVersion | undefined;
  /** Whether others reach this host at another address than its link has. */
  readonly isBehindNat: boolean;
  /** Whether probes show, or have shown, that what this host sends is damaged on its way; not if absent. */
  readonly isDamaging?: boolean;
}

/** Whether a VXLAN link leaves inner checksums to later, and why. */
export interface TxChecksumChoice {
  /** `undefined`: it stays as it is found, on unless another program has turned it off. */
  readonly isOn: boolean | undefined;
  /** One clause. */
  readonly reason: string;
}

/** What became of it on one link. */
export interface TxChecksumState extends TxChecksumChoice {
  readonly linkName: string;
  /** What the kernel has; `undefined` while it can't be asked. */
  readonly observed: boolean | undefined;
  /** Why the link is not as chosen, one sentence. */
  readonly fault?: string;
  /** That another program changes it each time that it was set here, one sentence. */
  readonly fight?: string;
}

/**
 * Drivers whose hardware spoils checksums inside of VXLAN. VMware's takes packets to any port but 4789 for plain UDP
 * before ESXi 8.0 Update 3 (knowledge.broadcom.com/external/article/432932); flannel's port is 8472.
 */
const BROKEN_DRIVERS: readonly string[] = ["vmxnet3"];

/** From here on source translation leaves the checksum 0 of an outer header alone; kernels since 5.7 do. */
const MENDED_KERNELS: readonly KernelVersion[] = [[4, 14, 181], [4, 19, 123], [5, 4, 41], [5, 6, 13]];
const ALL_MENDED_SINCE: KernelVersion = [5, 7, 0];

/**
 * Decides whether a VXLAN link leaves inner checksums to later.
 *
 * `auto` turns off only what is known to be broken, since the work costs throughput, and otherwise leaves the link as
 * it is: who has turned it off by hand, as flannel's documentation advises, had a reason.
 *
 * What no fact tells: also in Linux 6.18 an outer packet is spoilt when this host itself translates its source, as
 * kube-proxy before 1.18 does to packets for a Service (flannel-io/flannel#1279). `off` is the cure then.
 */
export function chooseTxChecksum(mode: TxChecksumMode, facts: TxChecksumFacts): TxChecksumChoice {
  if (mode !== "auto") return { isOn: mode === "on", reason: `-vxlan-tx-checksum=${mode} asks for it` };
  const { drivers, kernel, isBehindNat, isDamaging = false } = facts;
  const driver = drivers.find((name) => BROKEN_DRIVERS.includes(name));
  if (driver !== undefined) {
    return { isOn: false, reason: `the driver ${driver} spoils checksums inside of VXLAN` };
  }
  if (kernel !== undefined && !isMended(kernel)) {
    const version = formatKernelVersion(kernel);
    const reason = `Linux ${version} can spoil the checksum of an outer packet whose source is translated; ` +
      `if your distribution has mended it, -vxlan-tx-checksum=on saves work`;
    return { isOn: false, reason };
  }
  if (isDamaging) {
    return { isOn: false, reason: "probes showed that what this host sent was damaged on its way" };
  }
  if (isBehindNat) {
    return { isOn: false, reason: "a NAT in front of this host may spoil checksums that are left to it" };
  }
  return { isOn: undefined, reason: "neither the driver nor the kernel is known to spoil checksums" };
}

function isMended(kernel: KernelVersion): boolean {
  if (compare(kernel, ALL_MENDED_SINCE) >= 0) return true;
  return MENDED_KERNELS.some((since) =>
    kernel[0] === since[0] && kernel[1] === since[1] && compare(kernel, since) >= 0
  );
}

function compare(a: KernelVersion, b: KernelVersion): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

/** What a keeper works with. */
export interface TxChecksumDeps {
  readonly mode: TxChecksumMode;
  readonly ethtool: Ethtool;
  readonly kernel: KernelVersion | undefined;
  /** The links directly below one, by name. */
  readonly lowerLinks: (linkName: string) => readonly string[];
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Keeps checksum offload of the VXLAN links as chosen: also of one made anew, or changed by another program. */
export class TxChecksumKeeper {
  readonly #deps: TxChecksumDeps;

  /** By the name of the link. */
  readonly #fights: Fights<string>;
  /** The links that were as chosen after the last look. */
  #settled = new Set<string>();
  /** Once it is off nothing is damaged any more, and that is no reason to turn it on again. */
  #wasDamaging = false;

  constructor(deps: TxChecksumDeps) {
    this.#deps = deps;
    this.#fights = new Fights(deps.elapsedMs);
  }

  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  get waitMs(): number | undefined {
    return this.#fights.waitMs;
  }

  /** Takes note that a link was made anew: it has what the kernel gives it. */
  linkCreated(linkName: string): void {
    this.#settled.delete(linkName);
  }

  /** Looks at every link, and changes what is not as chosen. What the kernel refuses is in the state. */
  keep(
    linkNames: readonly string[],
    underlay: { readonly linkName: string; readonly isBehindNat: boolean; readonly isDamaging?: boolean },
  ): readonly TxChecksumState[] {
    this.#wasDamaging ||= underlay.isDamaging ?? false;
    const choice = this.#choose(underlay);
    this.#fights.look();
    const states = linkNames.map((linkName) => this.#keepOne(linkName, choice));
    const isAsChosen = ({ observed, isOn }: TxChecksumState) => isOn === undefined || observed === isOn;
    this.#settled = new Set(states.filter(isAsChosen).map(({ linkName }) => linkName));
    return states;
  }

  #choose(underlay: { readonly linkName: string; readonly isBehindNat: boolean }): TxChecksumChoice {
    const { mode, kernel } = this.#deps;
    return chooseTxChecksum(mode, {
      drivers: mode === "auto" ? [...this.#drivers(underlay.linkName)] : [],
      kernel,
      isBehindNat: underlay.isBehindNat,
      isDamaging: this.#wasDamaging,
    });
  }

  /** A VLAN or bond does not show the hardware's driver, the links below it do. */
  *#drivers(linkName: string): Generator<string> {
    const { ethtool, lowerLinks } = this.#deps;
    const links = new Set([linkName]);
    for (const link of links) {
      for (const lower of lowerLinks(link)) links.add(lower);
      const driver = orUndefined(() => ethtool.driver(link));
      if (driver !== undefined) yield driver;
    }
  }

  #keepOne(linkName: string, choice: TxChecksumChoice): TxChecksumState {
    const { ethtool, log } = this.#deps;
    const { isOn, reason } = choice;
    let observed: boolean | undefined;
    try {
      observed = ethtool.hasTxChecksum(linkName);
      if (isOn !== undefined && observed !== isOn) {
        const found = observed ? "on" : "off";
        const thing = thingOf(linkName);
        if (this.#fights.meet(thing, this.#settled.has(linkName), () => found)) {
          return { linkName, observed, ...choice, ...this.#fought(linkName) };
        }
        ethtool.setTxChecksum(linkName, isOn);
        observed = ethtool.hasTxChecksum(linkName);
        log.write("info", "checksum offload set", { link: linkName, isOn, reason });
      }
      return { linkName, observed, ...choice, ...this.#fought(linkName) };
    } catch (error) {
      return { linkName, observed, ...choice, fault: errorText(error) };
    }
  }

  /** Told for as long as another program changes it again and again, be it as chosen now or not. */
  #fought(linkName: string): Pick<TxChecksumState, "fight"> {
    const fight = this.#fights.standing.find(({ thing }) => thing === thingOf(linkName));
    return fight === undefined ? {} : { fight: fightText(fight, fight.about) };
  }
}

function thingOf(linkName: string): string {
  return `checksum offload of ${linkName}`;
}

/**
 * The links directly below one: of a VLAN its hardware, of a bond its members.
 *
 * @param folder Where sysfs(5) has links; it shows those of the network namespace that it was mounted in.
 */
export function lowerLinks(linkName: string, folder = "/sys/class/net"): string[] {
  const prefix = "lower_";
  try {
    return Array.from(Deno.readDirSync(`${folder}/${linkName}`), ({ name }) => name)
      .filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  } catch {
    return [];
  }
}

function orUndefined<T>(ask: () => T): T | undefined {
  try {
    return ask();
  } catch (error) {
    if (error instanceof NetlinkError) return undefined;
    throw error;
  }
}
