import { vtepNames } from "../overlay/backend/vxlan.ts";
import type { BootAnswer, BootIdentity } from "../host/boot_identity.ts";
import { Prerequisites } from "../host/prerequisites.ts";
import { DataPathProbe } from "../host/probe.ts";
import { probeNote, probeTargets } from "../host/probe_policy.ts";
import { runningKernel } from "../host/kernel_version.ts";
import { linksToBeLed } from "../host/router_links.ts";
import { type HostNeeds, linkSetting, sysctlName } from "../host/sysctl_checks.ts";
import { lowerLinks, TxChecksumKeeper, type TxChecksumState } from "../host/tx_checksum.ts";
import { dhcpcdAdvice, writeUnmanagedFiles } from "../host/unmanaged_files.ts";
import { replaceFile } from "../file/replace_file.ts";
import { type Carriage, usesSegment, usesTunnel } from "../overlay/backend/backend.ts";
import type { BackendConfig } from "../config/backend_schema.ts";
import type { Options } from "../config/options.ts";
import { type Log, SILENT } from "../log/log.ts";
import { AF_INET6, type Family, formatAddress, type Mac } from "../model/address.ts";
import type { Lease } from "../model/lease.ts";
import type { Underlay } from "../model/underlay.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { Ethtool } from "../linux/ethtool.ts";
import type { Libc } from "../linux/libc.ts";
import { dumpLinks, queryLink } from "../rtnetlink/link.ts";
import { UdpSocket } from "../linux/udp_socket.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { HostReport } from "../status/facts.ts";
import { orWarn, settleVtep } from "./best_effort.ts";
import { identifyingLink } from "./boot_keeper.ts";
import { errorText } from "../log/error_text.ts";

/** What the keeper works with. */
export interface HostKeeperDeps {
  readonly libc: Libc;
  readonly client: NetlinkClient;
  /** Any socket of this network namespace. */
  readonly socketFd: number;
  readonly options: Options;
  readonly backend: BackendConfig;
  readonly carriage: Carriage;
  readonly families: readonly Family[];
  /** What has happened since the agent ran last. */
  readonly boot: BootAnswer;
  /** The links that forwarded IPv6 before the host did, as an earlier agent of this boot has seen it. */
  readonly routerLinks: readonly string[] | undefined;
  /** Keeps what is in use for the next agent. */
  readonly keepBoot: (
    identity: Pick<BootIdentity, "underlay" | "vteps" | "addresses" | "routerLinks">,
  ) => void;
  readonly underlay: () => Underlay;
  /** Without the families that this host does not have now. */
  readonly usable: () => Underlay;
  /** The bridge that pods are on; `undefined` if they are on none. */
  readonly podsBridge: () => string | undefined;
  /** Called when this host can, or can't any more, have a family in the overlay. */
  readonly fitnessChanged: () => void;
  readonly own: () => Lease | undefined;
  /** The leases of all other hosts. */
  readonly remote: (own: Lease) => readonly Lease[];
  /** Whether probes show that what this host sends is damaged on its way. */
  readonly isDamaging: () => boolean;
  readonly log: Log;
}

/** What a dry run works with: all that it reads is true, and nothing that it writes is done. */
export interface DryHost {
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly ethtool: Ethtool;
  readonly created: readonly string[];
}

/** Where this host's own files are. */
const ROOT = "/";

/** Sees to what the overlay needs of the host beside links, routes and rules, and knows how it is. */
export class HostKeeper {
  readonly #deps: HostKeeperDeps;
  readonly #prerequisites: Prerequisites;
  readonly #checksum: TxChecksumKeeper;
  readonly #probe: DataPathProbe;
  readonly #forwarding = Promise.withResolvers<void>();
  #checksums: readonly TxChecksumState[] = [];
  #isIpv6Refused = false;

  constructor(deps: HostKeeperDeps) {
    const { libc, client, socketFd, log } = deps;
    this.#deps = deps;
    this.#prerequisites = new Prerequisites({
      libc,
      client,
      log,
      routerLinks: deps.routerLinks,
      elapsedMs: () => performance.now(),
    });
    this.#checksum = this.#checksumKeeper(new Ethtool(libc, socketFd), log);
    this.#probe = new DataPathProbe({
      targets: () => {
        const own = deps.own();
        return own === undefined ? [] : probeTargets(own, deps.remote(own), deps.underlay());
      },
      open: (path) => UdpSocket.open(libc, path),
      random: Math.random,
      elapsedMs: () => performance.now(),
      log,
    });
  }

  /** The VTEPs that are there. */
  #vteps(): { readonly linkName: string; readonly mac: Mac | undefined }[] {
    return this.#vtepNames.flatMap((linkName) => {
      const link = queryLink(this.#deps.client, linkName);
      return link === undefined ? [] : [{ linkName, mac: link.mac }];
    });
  }

  get #vtepNames(): readonly string[] {
    const { backend } = this.#deps;
    return "vni" in backend ? vtepNames(backend.vni) : [];
  }

  /** The VTEP of IPv6. */
  get #ipv6Vtep(): string | undefined {
    return this.#vtepNames[1];
  }

  /** Sees to a VTEP that was made this moment, before anything uses it. */
  linkCreated(name: string): void {
    const { libc, log } = this.#deps;
    this.#checksum.linkCreated(name);
    settleVtep(libc, name, { isIpv6: name === this.#ipv6Vtep }, log);
  }

  /** Why this host can't have a family in the overlay, though the underlay has it, as a clause. */
  whyUnfit(family: Family): string | undefined {
    if (family !== AF_INET6 || !this.#isIpv6Refused) return undefined;
    return `${this.#ipv6Vtep} can't be given IPv6 here`;
  }

  /** Reports whether what happens to the settings or addresses of a link is to be looked at. */
  concerns(linkIndex: number): boolean {
    const { client, underlay, families, podsBridge } = this.#deps;
    const link = orWarn("link not read", this.#deps.log, () => queryLink(client, linkIndex));
    if (link === undefined) return false;
    if (link.name === podsBridge()) return true;
    if (
      !families.includes(AF_INET6) || link.kind === "veth" || this.#prerequisites.routerLinks === undefined
    ) {
      return false;
    }
    const scope = { underlayLink: underlay().linkName, never: this.#vtepNames };
    return linksToBeLed(dumpLinks(client), scope).includes(link.name);
  }

  /** The MAC of a VTEP: of the one that is there, else of the one that was there before this host booted. */
  knownMac(linkName: string): Mac | undefined {
    return queryLink(this.#deps.client, linkName)?.mac ?? this.#deps.boot.vtepMacs.get(linkName);
  }

  /** Keeps what manages the host's network away from the overlay's links; before they are made. */
  keepManagersAway(): void {
    const { options, log } = this.#deps;
    if (!options.writesUnmanagedFiles) return;
    for (const { state, detail } of writeUnmanagedFiles({ root: ROOT, replaceFile })) {
      if (detail === undefined) continue;
      if (state === "failed") log.write("warn", "network manager not kept away", { reason: detail });
      else log.write("info", "network manager kept away", { detail });
    }
    const advice = dhcpcdAdvice(ROOT);
    if (advice !== undefined) log.write("warn", "network manager not kept away", { reason: advice });
  }

  /** Milliseconds until a look is due as a fight with another program goes on, or is over; `undefined` for none. */
  get waitMs(): number | undefined {
    const waits = [this.#prerequisites, this.#checksum].flatMap(({ waitMs }) => waitMs ?? []);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /**
   * Looks as a pass does, with doors that write down what is set; of what was learnt before only what outlasts a restart
   * counts, so that a fight that is slowed is not seen.
   *
   * @param doors.created VTEPs that the pass will have made.
   */
  dryRun(
    { libc, client, ethtool, created }: DryHost,
  ): { readonly settings: () => void; checksums: () => void } {
    const { carriage } = this.#deps;
    const elapsedMs = () => performance.now();
    const { routerLinks } = this.#prerequisites;
    return {
      settings: () => {
        if (carriage === "none") return;
        const { ownLinks, ownIpv6Links = [], ...needs } = this.#needs();
        const more = (links: readonly string[]) => created.filter((name) => !links.includes(name));
        const ipv6 = created.filter((name) => name === this.#ipv6Vtep);
        new Prerequisites({ libc, client, log: SILENT, routerLinks, elapsedMs }).check({
          ...needs,
          ownLinks: [...ownLinks, ...more(ownLinks)],
          ownIpv6Links: [...ownIpv6Links, ...ipv6.filter((name) => !ownIpv6Links.includes(name))],
        });
      },
      checksums: () => {
        const names = this.#vteps().map(({ linkName }) => linkName);
        this.#checksumKeeper(ethtool, SILENT)
          .keep([...new Set([...names, ...created])], this.#checksumUnderlay());
      },
    };
  }

  #checksumKeeper(ethtool: Ethtool, log: Log): TxChecksumKeeper {
    const { libc, options } = this.#deps;
    return new TxChecksumKeeper({
      mode: options.vxlanTxChecksum,
      ethtool,
      kernel: runningKernel((path) => libc.readSysctl(path)),
      lowerLinks,
      elapsedMs: () => performance.now(),
      log,
    });
  }

  #checksumUnderlay(): Parameters<TxChecksumKeeper["keep"]>[1] {
    const { underlay, isDamaging } = this.#deps;
    const { linkName, addresses } = underlay();
    const isBehindNat = addresses.some(({ address, advertised }) => address !== advertised);
    return { linkName, isBehindNat, isDamaging: isDamaging() };
  }

  /** Looks at the kernel's settings, and sets what may be set; before each pass. */
  check(): void {
    const { carriage, fitnessChanged } = this.#deps;
    if (carriage === "none") return;
    const found = this.#prerequisites.check(this.#needs());
    const ipv6Vtep = this.#ipv6Vtep;
    const name = ipv6Vtep && sysctlName(linkSetting(AF_INET6, ipv6Vtep, "disable_ipv6"));
    const isRefused = found.some((one) => one.name === name && one.verdict === "degraded");
    if (isRefused === this.#isIpv6Refused) return;
    this.#isIpv6Refused = isRefused;
    fitnessChanged();
  }

  #needs(): HostNeeds {
    const { options, backend, carriage, families, underlay, usable, podsBridge } = this.#deps;
    const ownLinks = this.#vteps().map(({ linkName }) => linkName);
    const present = usable().addresses.map(({ family }) => family);
    return {
      families,
      presentFamilies: this.#isIpv6Refused ? families : present,
      ownLinks,
      ownIpv6Links: ownLinks.filter((linkName) => linkName === this.#ipv6Vtep),
      podsBridge: podsBridge(),
      underlayLink: underlay().linkName,
      hasDirectRoutes: usesSegment(carriage) || carriage === "router",
      vxlan: !usesTunnel(carriage) ? "unused" : backend.type === "auto" ? "useful" : "needed",
      hasRules: options.masquerade || options.forwardRules,
      hasServices: options.registry.kind === "kube",
    };
  }

  /** Sees to what comes after a pass. */
  passed({ isForwarding }: PassReport): void {
    if (!isForwarding) return;
    const { underlay, keepBoot } = this.#deps;
    const vteps = this.#vteps();
    const { addresses } = underlay();
    this.#checksums = this.#checksum.keep(
      vteps.map(({ linkName }) => linkName),
      this.#checksumUnderlay(),
    );
    keepBoot({
      underlay: identifyingLink(underlay()),
      vteps: vteps.flatMap(({ linkName, mac }) => mac === undefined ? [] : [{ linkName, mac }]),
      addresses: addresses.map(({ address }) => address),
      routerLinks: this.#prerequisites.routerLinks,
    });
    this.#forwarding.resolve();
  }

  /** Proves the data path, once packets can be forwarded; ends when it is proved. */
  async prove({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const aborted = new Promise<void>((resolve) =>
      signal.addEventListener("abort", () => resolve(), { once: true })
    );
    await Promise.race([this.#forwarding.promise, aborted]);
    try {
      if (!signal.aborted) await this.#probe.run({ signal });
    } catch (error) {
      this.#deps.log.write("error", "data path not probed", { reason: errorText(error) });
    }
  }

  /** How the host is. */
  get report(): HostReport {
    const { backend, boot } = this.#deps;
    const { state, peers } = this.#probe.result;
    const port = "port" in backend ? backend.port : undefined;
    return {
      boot: boot.kind,
      prerequisites: this.#prerequisites.last,
      checksums: this.#checksums,
      dataPath: {
        state,
        // An agent that was only restarted has interrupted nothing.
        isAwaited: state === "waiting" && boot.kind !== "same boot",
        peers: peers.map(({ host, target, outcome }) => `${host} at ${formatAddress(target)}: ${outcome}`),
        note: probeNote(this.#probe.result, port),
      },
    };
  }
}
