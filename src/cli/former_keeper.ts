import { dumpHostLinks, type HostLink, isOurVtep } from "../cni/host_links.ts";
import { replaceFile } from "../cni/replace_file.ts";
import { appliedPath, keepApplied, readApplied } from "../host/applied.ts";
import type { Log } from "../log/log.ts";
import { type Ipv4, type Prefix, prefixContains, prefixEquals } from "../model/address.ts";
import { dumpAddresses } from "../netlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { ENODEV, ENOENT, errnoName, isErrno, NetlinkError } from "../netlink/errno.ts";
import { encodeLinkDeletion } from "../netlink/link.ts";
import { dumpNextHops, encodeNextHopDeletion } from "../netlink/next_hop.ts";
import { RTPROT_LODEN } from "../netlink/route.ts";
import { Observer } from "../reconcile/observe.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { Claims } from "./agent_claim.ts";
import { orNothing } from "./best_effort.ts";

/** What the keeper works with. */
export interface FormerDeps {
  /** Which boot this is. */
  readonly bootId: string;
  readonly client: NetlinkClient;
  readonly log: Log;
}

/**
 * Sees to what an earlier configuration, an earlier version or flanneld has made for this host's network under other
 * names: it goes once the new state stands. What belongs to other networks is left alone.
 */
export class FormerKeeper {
  readonly #path: string;
  readonly #deps: FormerDeps;
  readonly #networks: readonly Prefix[];
  readonly #vteps: readonly string[];
  /** The cluster networks of earlier configurations, of which something may be left. */
  readonly former: readonly Prefix[];
  /** Whether flannel's routes over the underlay's link are taken for those that flanneld has left. */
  #isAdopting: boolean;
  #isDone = false;

  /**
   * @param present.networks The cluster networks of the present configuration.
   * @param present.linkNames The VTEPs that it may have.
   */
  constructor(
    subnetFilePath: string,
    present: Claims,
    deps: FormerDeps,
  ) {
    const { networks, linkNames } = present;
    this.#path = appliedPath(subnetFilePath);
    this.#deps = deps;
    this.#networks = networks;
    this.#vteps = linkNames;
    const applied = readApplied(this.#path);
    const isOfBoot = applied !== undefined && applied.bootId === deps.bootId;
    this.former = isOfBoot
      ? applied.networks.filter((old) => !networks.some((network) => prefixEquals(network, old)))
      : [];
    this.#isAdopting = !isOfBoot || !applied.hasAdopted;
  }

  /** VTEPs of this host's networks that the present configuration has not: nothing once they are gone. */
  get links(): readonly HostLink[] {
    if (this.#isDone) return [];
    const { client } = this.#deps;
    const networks = [...this.#networks, ...this.former];
    return dumpHostLinks(client).filter((link) =>
      isOurVtep(link) && !this.#vteps.includes(link.name) &&
      dumpAddresses(client, link.linkIndex).some(({ address }) =>
        networks.some((network) => prefixContains(network, address))
      )
    );
  }

  /** Reads what is there, this keeper's part of it too. */
  observer(): Observer {
    return new Observer(this.#deps.client, {
      isAdopting: () => this.#isAdopting,
      formerLinks: () => this.links.map(({ linkIndex }) => linkIndex),
    });
  }

  /** Before state is made: what will have to be known of it later. */
  start(): void {
    this.#keep([...this.#networks, ...this.former], !this.#isAdopting);
  }

  /** After a pass: once the new state stands, the old one goes. */
  passed({ failureCount, isForwarding, isRemembered }: PassReport): void {
    if (this.#isDone || failureCount > 0 || !isForwarding || isRemembered) return;
    const { log } = this.#deps;
    try {
      for (const link of this.links) this.#delete(link);
      this.#sweepNextHops();
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      log.write("warn", "former state not removed", { reason: error.message });
      return;
    }
    this.#isDone = true;
    this.#isAdopting = false;
    this.#keep(this.#networks, true);
  }

  #delete({ name, linkIndex }: HostLink): void {
    try {
      this.#deps.client.request(
        `delete link ${name}`,
        (writer, sequence) => encodeLinkDeletion(writer, sequence, linkIndex),
      );
    } catch (error) {
      if (!isErrno(error, ENODEV)) throw error;
    }
    this.#deps.log.write("info", "former link deleted", { link: name });
  }

  /** Deletes the next hops that Loden 0.1 gave its routes: their ids are addresses of the cluster networks. */
  #sweepNextHops(): void {
    const { client, log } = this.#deps;
    const networks = [...this.#networks, ...this.former];
    const ids = dumpNextHops(client, RTPROT_LODEN)
      .filter((id) => networks.some((network) => prefixContains(network, id as Ipv4)));
    if (ids.length === 0) return;
    let refusal: string | undefined;
    client.batch(
      ids.length,
      (index, writer, sequence) => encodeNextHopDeletion(writer, sequence, ids[index]!),
      (_, errno) => {
        if (errno !== ENOENT) refusal = errnoName(errno);
      },
    );
    log.write("info", "next hops of an earlier version deleted", { count: ids.length, refusal });
  }

  #keep(networks: readonly Prefix[], hasAdopted: boolean): void {
    orNothing("configuration not noted", this.#deps.log, () => {
      keepApplied(this.#path, { bootId: this.#deps.bootId, networks, hasAdopted }, replaceFile);
    });
  }
}
