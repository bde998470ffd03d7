import type { AwsVpcConfig } from "../../config/aws_schema.ts";
import { errorText } from "../../log/error_text.ts";
import { type Log, SILENT } from "../../log/log.ts";
import { type Address, formatAddress, formatPrefix, type Prefix } from "../../model/address.ts";
import type { Condition } from "../../model/condition.ts";
import type { CloudPath, DesiredCloud } from "../../model/state.ts";
import type { Cloud, CloudReport } from "../cloud.ts";
import { callChange } from "./call_words.ts";
import { chooseInterface } from "./choose_interface.ts";
import {
  attachedTo,
  type CallOptions,
  changeRoute,
  type CloudTable,
  describeNetworkInterfaces,
} from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import { filter } from "./ec2_form.ts";
import { findTables } from "./find_tables.ts";
import { ManagedInterface } from "./managed_interface.ts";
import type { AttachedInterface, InstanceFacts } from "./metadata.ts";
import { type CloudChange, planCloud } from "./route_plan.ts";
import { SourceCheck } from "./source_check.ts";
import { callReason, conflictReason, planConditions, quotaReason } from "./words.ts";

/** What each call is refused with if another host, or an operator, has changed the table since it was read. */
const RACES: Readonly<Record<CloudChange["action"], string>> = {
  CreateRoute: "RouteAlreadyExists",
  ReplaceRoute: "InvalidParameterValue",
  DeleteRoute: "InvalidRoute.NotFound",
};

/** What the cloud is followed with. */
export interface AwsCloudDeps {
  readonly config: AwsVpcConfig;
  readonly instance: () => Promise<InstanceFacts>;
  readonly client: (region: string) => Ec2Client;
  /** Calls since the start, by action. */
  readonly calls: ReadonlyMap<string, number>;
  /** Addresses of the underlay. */
  readonly underlay: () => readonly Address[];
  readonly now: () => Date;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** Keeps the routes of a VPC's route tables that lead packets to the pods of this host. */
export class AwsCloud implements Cloud {
  readonly #deps: AwsCloudDeps;
  readonly #check: SourceCheck;
  readonly #managed: ManagedInterface;
  #wanted: { readonly desired: DesiredCloud; readonly isRemembered: boolean } | undefined;
  /** What of it a look depends on. */
  #key: string | undefined;
  /** Whether routes were there that may be nobody's, at a look when others were only remembered. */
  #hasDoubts = false;
  /** The tables in use, once they were found. */
  #tableIds: { readonly eniId: string; readonly ids: readonly string[] } | undefined;
  #known: { readonly region: string; readonly client: Ec2Client } | undefined;
  /** What was known of others at the last look: one that came since may not have made its route yet. */
  #peers: readonly Prefix[] = [];
  /** Whether the routes of this host's subnets were there when the tables were read last. */
  #routed: readonly Prefix[] = [];
  #found: readonly Condition[] = [];
  #trouble: readonly Condition[] = [];
  #report: CloudReport | undefined;
  #path: CloudPath | "none" | undefined;

  constructor(deps: AwsCloudDeps) {
    this.#deps = deps;
    this.#check = new SourceCheck(deps.elapsedMs);
    this.#managed = new ManagedInterface({ ...deps, uniqueId: () => crypto.randomUUID() });
  }

  want(desired: DesiredCloud, { isRemembered }: { readonly isRemembered: boolean }): boolean {
    this.#wanted = { desired, isRemembered };
    // Others make their routes themselves: that one comes or goes is no reason for a call.
    const { own, networks } = desired;
    const key = [
      ...own.map(formatPrefix),
      ...networks.map(({ network }) => formatPrefix(network)),
      ...this.#deps.underlay().map(formatAddress),
    ].join(" ");
    const isDue = key !== this.#key || this.#hasDoubts && !isRemembered;
    this.#key = key;
    if (!isRemembered) this.#hasDoubts = false;
    return isDue;
  }

  get path(): CloudPath | "none" | undefined {
    return this.#path;
  }

  get report(): CloudReport | undefined {
    return this.#report;
  }

  get conditions(): readonly Condition[] {
    return [...this.#unread(), ...this.#trouble, ...this.#found, ...this.#check.conditions];
  }

  /** That the tables were not read since this host has these subnets. */
  #unread(): readonly Condition[] {
    const desired = this.#wanted?.desired;
    if (desired === undefined || this.#trouble.length > 0 || this.#lacking(desired).length === 0) return [];
    return [this.#unrouted(desired, "the route tables were not read yet", false)];
  }

  /** The subnets of this host that no look has found, or made, a route of. */
  #lacking({ own }: DesiredCloud): readonly string[] {
    const routed = new Set(this.#routed.map(formatPrefix));
    return own.map(formatPrefix).filter((subnet) => !routed.has(subnet));
  }

  async dryRun(
    desired: DesiredCloud,
    { isRemembered, list, signal }: Parameters<Cloud["dryRun"]>[1],
  ): ReturnType<Cloud["dryRun"]> {
    const client = (region: string) =>
      this.#deps.client(region).dry((action, parameters) => list.add(callChange(action, parameters)));
    const twin = new AwsCloud({ ...this.#deps, client, log: SILENT });
    twin.want(desired, { isRemembered });
    await twin.turn({ signal });
    return twin;
  }

  async turn(options: CallOptions): Promise<boolean> {
    const wanted = this.#wanted;
    if (wanted === undefined) return true;
    try {
      return await this.#look(wanted.desired, wanted.isRemembered, options);
    } catch (error) {
      options.signal.throwIfAborted();
      const reason = error instanceof Ec2Error ? callReason(error, "the route tables") : errorText(error);
      this.#trouble = [this.#unrouted(wanted.desired, reason)];
      return false;
    }
  }

  /**
   * That the cloud could not be asked: bad if nothing was ever there, else what was there stays.
   *
   * @param isLooked Whether the tables were read, since this agent's start.
   */
  #unrouted(desired: DesiredCloud, reason: string, isLooked = this.#report !== undefined): Condition {
    const lacking = this.#lacking(desired);
    if (lacking.length === 0) {
      return { code: "cloud-not-answering", sentence: `the route tables were not looked at: ${reason}` };
    }
    const packets = `packets for ${lacking.join(" and ")}`;
    const fault = isLooked
      ? `${packets} do not get to this host`
      : `it is not known whether ${packets} get to this host`;
    return { code: "cloud-route-missing", sentence: `${fault}: ${reason}` };
  }

  async #look(desired: DesiredCloud, isRemembered: boolean, options: CallOptions): Promise<boolean> {
    const { config } = this.#deps;
    const instance = await this.#deps.instance();
    const client = this.#clientOf(instance.region);
    const eni = await this.#interface(instance, client, options);
    this.#path = pathOf(eni, { underlay: this.#deps.underlay(), isManaged: config.eni.kind === "managed" });
    const ids = config.routeTableIds.length > 0 || this.#tableIds?.eniId !== eni.id
      ? config.routeTableIds
      : this.#tableIds.ids;
    const tables = await this.#tables(client, { ids, eni }, options);
    const policy = {
      eniId: eni.id,
      attached: new Set(instance.interfaces.map(({ id }) => id)),
      takesForeign: config.takesForeign,
      cleansBlackholes: config.cleansBlackholes,
    };
    const plan = planCloud(desired, tables, policy);
    // What another process knew of others may be behind: it adds, and never removes.
    const changes = plan.changes.filter(({ action }) => !isRemembered || action !== "DeleteRoute");
    this.#hasDoubts = isRemembered &&
      planCloud({ ...desired, peers: [] }, tables, policy).changes.length > changes.length;
    for (const { tableId, destination, target } of plan.foreign.filter(({ isTaken }) => isTaken)) {
      const route = formatPrefix(destination);
      this.#deps.log.write("warn", "cloud route replaced", { table: tableId, route, target });
    }
    const outcome = await this.#applyAll(client, changes, tables, options);
    const kept = plan.foreign.filter(({ isWhole, isTaken }) => isWhole && !isTaken);
    const lacking = new Set(
      [...outcome.unmade, ...kept.map(({ destination }) => destination)].map(formatPrefix),
    );
    this.#routed = desired.own.filter((subnet) => !lacking.has(formatPrefix(subnet)));
    this.#trouble = [...outcome.reasons, ...kept.map(conflictReason)]
      .map((reason) => this.#unrouted(desired, reason, true));
    this.#found = [...planConditions(plan), ...this.#peersMissing(desired, plan.unrouted)];
    this.#report = {
      interfaceId: eni.id,
      tables: tables.map(({ id, routes }) => ({ id, routes: routes.length })),
      lookedAt: this.#deps.now(),
      calls: this.#deps.calls,
    };
    const isNew = changes.some(({ action }) => action === "CreateRoute");
    const isKept = !config.turnsCheckOff;
    const isRight = await this.#check.keep(client, { eniId: eni.id, isKept, isNew }, options);
    return isRight && outcome.reasons.length === 0;
  }

  #clientOf(region: string): Ec2Client {
    if (this.#known?.region !== region) this.#known = { region, client: this.#deps.client(region) };
    return this.#known.client;
  }

  async #interface(
    instance: InstanceFacts,
    client: Ec2Client,
    options: CallOptions,
  ): Promise<AttachedInterface> {
    const { config: { eni }, underlay } = this.#deps;
    if (eni.kind === "managed") {
      const made = await this.#managed.keep(client, instance, options);
      if (made === undefined) throw new Error("its network interface is being attached");
      return made;
    }
    const tagged = eni.kind === "tag"
      ? await describeNetworkInterfaces(client, {
        filters: attachedTo(instance.instanceId, filter(`tag:${eni.key}`, eni.value)),
      }, options)
      : [];
    const chosen = chooseInterface(instance, eni, {
      underlay: underlay(),
      tagged: tagged.map(({ id }) => id),
    });
    if (typeof chosen === "string") throw new Error(`${chosen}; set Backend.ENI, or attach it`);
    return chosen;
  }

  async #tables(
    client: Ec2Client,
    place: { readonly ids: readonly string[]; readonly eni: AttachedInterface },
    options: CallOptions,
  ): Promise<readonly CloudTable[]> {
    try {
      const tables = await findTables(client, place, options);
      this.#tableIds = { eniId: place.eni.id, ids: tables.map(({ id }) => id) };
      return tables;
    } catch (error) {
      // The subnet may have another table now.
      this.#tableIds = undefined;
      throw error;
    }
  }

  /** Makes all changes. Answers with the destinations that are still not as they must be, and why. */
  async #applyAll(
    client: Ec2Client,
    changes: readonly CloudChange[],
    tables: readonly CloudTable[],
    options: CallOptions,
  ): Promise<{ readonly unmade: readonly Prefix[]; readonly reasons: readonly string[] }> {
    const unmade: Prefix[] = [];
    const reasons: string[] = [];
    for (const change of changes) {
      const reason = await this.#apply(client, change, tables, options);
      // What others left behind harms nobody, and the next look tries again.
      if (reason === undefined || change.action === "DeleteRoute") continue;
      unmade.push(change.destination);
      reasons.push(reason);
    }
    return { unmade, reasons };
  }

  /** Makes one change. Answers with why it was not made. */
  async #apply(
    client: Ec2Client,
    change: CloudChange,
    tables: readonly CloudTable[],
    options: CallOptions,
  ): Promise<string | undefined> {
    const { action, tableId, destination } = change;
    try {
      await changeRoute(client, change, options);
      const route = formatPrefix(destination);
      this.#deps.log.write("info", "cloud route changed", { action, table: tableId, route });
      return undefined;
    } catch (error) {
      if (!(error instanceof Ec2Error)) throw error;
      if (RACES[action] === error.code) {
        return `the route table ${tableId} was changed meanwhile, and is read again`;
      }
      if (error.code !== "RouteLimitExceeded") return callReason(error, tableId);
      return quotaReason(tables.find(({ id }) => id === tableId), change);
    }
  }

  /** Hosts that were there at the last look already, and have no route yet. */
  #peersMissing(
    { peers }: DesiredCloud,
    unrouted: readonly { readonly tableId: string; readonly subnet: Prefix }[],
  ): readonly Condition[] {
    const before = new Set(this.#peers.map(formatPrefix));
    this.#peers = peers;
    const lost = unrouted.map(({ tableId, subnet }) => ({ tableId, subnet: formatPrefix(subnet) }))
      .filter(({ subnet }) => before.has(subnet));
    if (lost.length === 0) return [];
    const [{ tableId, subnet }] = lost as [(typeof lost)[number]];
    const more = lost.length === 1 ? "" : ` and ${lost.length - 1} more`;
    return [{
      code: "cloud-peers-missing",
      sentence:
        `the route table ${tableId} has no working route to ${subnet}${more}: look at those hosts' agents`,
    }];
  }
}

/** The way by a network interface that is not the underlay's. */
function pathOf(
  eni: AttachedInterface,
  { underlay, isManaged }: { readonly underlay: readonly Address[]; readonly isManaged: boolean },
): CloudPath | "none" {
  const { id: interfaceId, mac, addresses, subnetPrefixes, vpcPrefixes } = eni;
  if (addresses.some((address) => underlay.includes(address))) return "none";
  return { interfaceId, mac, addresses, subnetPrefixes, vpcPrefixes, isManaged };
}
