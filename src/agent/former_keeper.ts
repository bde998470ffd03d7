import { isFile } from "../file/read_file.ts";
import { historyPath, keepHistory, readHistory } from "../host/history.ts";
import type { Log } from "../log/log.ts";
import type { Condition } from "../model/condition.ts";
import { type Ipv4, type Prefix, prefixContains, prefixEquals } from "../model/address.ts";
import type { ObservedLink } from "../model/state.ts";
import { isOurVtep } from "../model/vtep.ts";
import { dumpAddresses } from "../rtnetlink/address.ts";
import type { NetlinkClient } from "../netlink/client.ts";
import { ENODEV, ENOENT, errnoName, isErrno, NetlinkError } from "../linux/errno.ts";
import { dumpLinks, encodeLinkDeletion } from "../rtnetlink/link.ts";
import { dumpNextHops, encodeNextHopDeletion } from "../rtnetlink/next_hop.ts";
import { RTPROT_LODEN } from "../rtnetlink/route_header.ts";
import { Observer } from "../reconcile/observe.ts";
import type { PassReport } from "../reconcile/report.ts";
import type { AgentClaims, Claims } from "./agent_claim.ts";
import { KeptFile } from "./kept_file.ts";

/** What the keeper works with. */
export interface FormerDeps {
  /** Which boot this is. */
  readonly bootId: string;
  readonly client: NetlinkClient;
  /** Who else has what. */
  readonly claims: Pick<AgentClaims, "takeFormer" | "releaseFormer" | "isOthersLink">;
  readonly log: Log;
}

/**
 * Sees to what an earlier configuration, an earlier version or flanneld has made for this host's network under other
 * names: it goes once the new state stands. What belongs to other networks is left alone, and so is what another
 * agent of this host has taken since.
 */
export class FormerKeeper {
  readonly #subnetFilePath: string;
  readonly #deps: FormerDeps;
  readonly #networks: readonly Prefix[];
  readonly #vteps: readonly string[];
  readonly #history: KeptFile;
  /** The cluster networks of earlier configurations, of which something may be left. */
  readonly former: readonly Prefix[];
  /** Whether flannel's routes over the underlay's link are taken for those that flanneld has left. */
  #isAdopting: boolean;
  #isDone = false;
  /** Writes what could not be written. */
  #unkept: (() => void) | undefined;
  /** Why it could not be removed. */
  #refusal: string | undefined;
  #hasRules = true;

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
    this.#subnetFilePath = subnetFilePath;
    this.#deps = deps;
    this.#history = new KeptFile(`the history of this host, ${historyPath(subnetFilePath)},`);
    this.#networks = networks;
    this.#vteps = linkNames;
    const { applied } = readHistory(subnetFilePath);
    const isOfBoot = applied !== undefined && applied.bootId === deps.bootId;
    const former = isOfBoot
      ? applied.networks.filter((old) => !networks.some((network) => prefixEquals(network, old)))
      : [];
    this.former = deps.claims.takeFormer(former, present);
    this.#isAdopting = !isOfBoot || !applied.hasAdopted;
  }

  /** What could not be removed, or noted for the next start. */
  get conditions(): readonly Condition[] {
    const refusal: Condition[] = this.#refusal === undefined
      ? []
      : [{ code: "former-state-stays", sentence: this.#refusal }];
    return [...refusal, ...this.#history.conditions];
  }

  /** VTEPs of this host's networks that the present configuration has not: nothing once they are gone. */
  get links(): readonly ObservedLink[] {
    if (this.#isDone) return [];
    const { client, claims } = this.#deps;
    const networks = [...this.#networks, ...this.former];
    return dumpLinks(client).filter((link) =>
      isOurVtep(link) && !this.#vteps.includes(link.name) &&
      dumpAddresses(client, link.linkIndex).some(({ address }) =>
        networks.some((network) => prefixContains(network, address))
      ) && !claims.isOthersLink(link.name)
    );
  }

  /** What would go once the new state stands: nothing once it is gone. */
  get pending(): { readonly links: readonly ObservedLink[]; readonly nextHops: readonly number[] } {
    return this.#isDone ? { links: [], nextHops: [] } : { links: this.links, nextHops: this.#nextHops() };
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
    if (this.#isDone && !isFile(historyPath(this.#subnetFilePath))) this.#keep(this.#networks, true);
    this.#unkept?.();
    if (this.#isDone || failureCount > 0 || !isForwarding || isRemembered) return;
    try {
      for (const link of this.links) this.#delete(link);
      this.#sweepNextHops();
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      this.#refusal = `what an earlier configuration made is still there: ${error.message}`;
      return;
    }
    this.#refusal = undefined;
    this.#isDone = true;
    this.#isAdopting = false;
    this.#keep(this.#networks, true);
    this.#release();
  }

  /** After a look at the rules that could make all as wished: those of former networks are gone. */
  rulesKept(): void {
    this.#hasRules = false;
    this.#release();
  }

  /** Once nothing of former networks is left, another agent may have them. */
  #release(): void {
    if (this.#isDone && !this.#hasRules) this.#deps.claims.releaseFormer();
  }

  #delete({ name, linkIndex }: ObservedLink): void {
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

  /** The next hops that early builds gave their routes: their ids are addresses of the cluster networks. */
  #nextHops(): readonly number[] {
    const networks = [...this.#networks, ...this.former];
    return dumpNextHops(this.#deps.client, RTPROT_LODEN)
      .filter((id) => networks.some((network) => prefixContains(network, id as Ipv4)));
  }

  #sweepNextHops(): void {
    const { client, log } = this.#deps;
    const ids = this.#nextHops();
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
    const applied = { bootId: this.#deps.bootId, networks, hasAdopted };
    const isKept = this.#history.write(() => keepHistory(this.#subnetFilePath, { applied }));
    this.#unkept = isKept ? undefined : () => this.#keep(networks, hasAdopted);
  }
}
