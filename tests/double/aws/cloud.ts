import { formatAddress, formatMac, type Mac, parsePrefix } from "../../../src/model/address.ts";
import { AwsError } from "./aws_error.ts";
import type {
  Attachment,
  CloudSettings,
  Instance,
  InstanceType,
  NetworkInterface,
  NewInterface,
  Route,
  RouteTable,
  SecurityGroup,
  SecurityRule,
  Subnet,
  Tags,
  Vpc,
} from "./resources.ts";

/** AWS keeps the first four of a subnet, and the last. */
const KEPT_ADDRESSES = 4;

/** A region of one account: what there is, as plain values. What a client does to it is in `routes.ts` and `interfaces.ts`. */
export class Cloud {
  readonly vpcs = new Map<string, Vpc>();
  readonly subnets = new Map<string, Subnet>();
  readonly routeTables = new Map<string, RouteTable>();
  readonly interfaces = new Map<string, NetworkInterface>();
  /** The network interface that was made for each `ClientToken`. */
  readonly clientTokens = new Map<string, string>();
  readonly instances = new Map<string, Instance>();
  readonly securityGroups = new Map<string, SecurityGroup>();
  readonly instanceTypes = new Map<string, InstanceType>([
    ["t3.medium", { interfaces: 3, addressesPerInterface: 6 }],
    ["m5.large", { interfaces: 3, addressesPerInterface: 10 }],
    ["m5.4xlarge", { interfaces: 8, addressesPerInterface: 30 }],
  ]);
  readonly settings: CloudSettings = { routesPerTable: 500, staleLooks: 0, detachLooks: 1 };
  readonly #listeners = new Set<() => void>();
  #serial = 0;

  constructor(readonly region = "eu-central-1", readonly account = "123456789012") {}

  /** Has `listener` called after each change; what it returns ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Says that something has changed. */
  changed(): void {
    for (const listener of this.#listeners) listener();
  }

  newId(kind: string): string {
    return `${kind}-0${(++this.#serial).toString(16).padStart(16, "0")}`;
  }

  /** `arn:aws:ec2:REGION:ACCOUNT:KIND/ID`. */
  arn(kind: string, id: string): string {
    return `arn:aws:ec2:${this.region}:${this.account}:${kind}/${id}`;
  }

  addVpc(
    { cidr, moreCidrs = [], ipv6Cidrs = [], tags = {} }: {
      readonly cidr: string;
      readonly moreCidrs?: readonly string[];
      readonly ipv6Cidrs?: readonly string[];
      readonly tags?: Tags;
    },
  ): Vpc {
    const vpc: Vpc = { id: this.newId("vpc"), cidrs: [cidr, ...moreCidrs], ipv6Cidrs, tags };
    this.vpcs.set(vpc.id, vpc);
    this.addSecurityGroup(vpc.id, { name: "default" });
    this.addRouteTable(vpc.id, { isMain: true });
    return vpc;
  }

  addSubnet(
    vpcId: string,
    { cidr, ipv6Cidr, zone = `${this.region}a`, tags = {} }: {
      readonly cidr: string;
      readonly ipv6Cidr?: string;
      readonly zone?: string;
      readonly tags?: Tags;
    },
  ): Subnet {
    const subnet: Subnet = { id: this.newId("subnet"), vpcId, cidr, ipv6Cidr, zone, tags };
    this.subnets.set(subnet.id, subnet);
    this.changed();
    return subnet;
  }

  addRouteTable(
    vpcId: string,
    { subnetIds = [], isMain = false, tags = {} }: {
      readonly subnetIds?: readonly string[];
      readonly isMain?: boolean;
      readonly tags?: Tags;
    } = {},
  ): RouteTable {
    const vpc = this.vpcs.get(vpcId)!;
    const local = (destination: string): Route => ({
      destination,
      target: "local",
      origin: "CreateRouteTable",
    });
    const routes = [...vpc.cidrs, ...vpc.ipv6Cidrs].map(local);
    const id = this.newId("rtb");
    const table: RouteTable = { id, vpcId, isMain, subnetIds: [...subnetIds], routes, tags };
    this.routeTables.set(table.id, table);
    this.changed();
    return table;
  }

  addSecurityGroup(
    vpcId: string,
    { name, tags = {} }: { readonly name: string; readonly tags?: Tags },
  ): SecurityGroup {
    const id = this.newId("sg");
    const rules: SecurityRule[] = [
      { id: this.newId("sgr"), isEgress: false, protocol: "-1", peer: id },
      { id: this.newId("sgr"), isEgress: true, protocol: "-1", peer: "0.0.0.0/0" },
    ];
    const group: SecurityGroup = { id, name, vpcId, rules, tags };
    this.securityGroups.set(id, group);
    this.changed();
    return group;
  }

  /** Starts an instance with its primary ENI. */
  runInstance(
    subnetId: string,
    { type = "m5.large", role, tags = {}, ...eni }: NewInterface & {
      readonly type?: string;
      readonly role?: string;
    } = {},
  ): { readonly instance: Instance; readonly eni: NetworkInterface } {
    const zone = this.subnets.get(subnetId)!.zone;
    const instance: Instance = { id: this.newId("i"), type, zone, role, state: "running", tags };
    this.instances.set(instance.id, instance);
    const primary = this.addInterface(subnetId, eni);
    this.plug(primary, instance.id, 0, true);
    this.changed();
    return { instance, eni: primary };
  }

  /** Makes an ENI that is plugged in nowhere. */
  addInterface(subnetId: string, options: NewInterface = {}): NetworkInterface {
    const { vpcId, ipv6Cidr } = this.subnets.get(subnetId)!;
    const standard = [...this.securityGroups.values()].find((group) => group.vpcId === vpcId)!;
    const eni: NetworkInterface = {
      id: this.newId("eni"),
      subnetId,
      vpcId,
      mac: options.mac ?? formatMac((0x02_00_00_00_00_00 + ++this.#serial) as Mac),
      description: options.description ?? "",
      groups: options.groups ?? [standard.id],
      addresses: [options.address ?? this.freeAddress(subnetId)],
      ipv6Addresses: options.isIpv6 && ipv6Cidr ? [this.freeAddress(subnetId, ipv6Cidr)] : [],
      ipv4Prefixes: [],
      sourceDestCheck: true,
      attachment: undefined,
      tags: options.tags ?? {},
    };
    this.interfaces.set(eni.id, eni);
    return eni;
  }

  /** Plugs an ENI in, without a question. */
  plug(
    eni: NetworkInterface,
    instanceId: string,
    deviceIndex: number,
    deleteOnTermination = false,
  ): Attachment {
    const id = this.newId("eni-attach");
    return eni.attachment = {
      ...{ id, instanceId, deviceIndex, deleteOnTermination },
      ...{ status: "attached", looksLeft: 0 },
    };
  }

  /** Has an instance be in another state; one that is terminated loses its ENIs, and those that go with it are deleted. */
  setState(instanceId: string, state: Instance["state"]): void {
    this.instances.get(instanceId)!.state = state;
    if (state === "terminated") {
      for (const eni of this.interfacesOf(instanceId)) {
        if (eni.attachment!.deleteOnTermination) this.interfaces.delete(eni.id);
        eni.attachment = undefined;
      }
    }
    this.changed();
  }

  /** By device index. */
  interfacesOf(instanceId: string): readonly NetworkInterface[] {
    return [...this.interfaces.values()].filter(({ attachment }) => attachment?.instanceId === instanceId)
      .sort((a, b) => a.attachment!.deviceIndex - b.attachment!.deviceIndex);
  }

  /** The table that packets from a subnet are sent by. */
  tableOf(subnetId: string): RouteTable {
    const tables = [...this.routeTables.values()];
    const { vpcId } = this.subnets.get(subnetId)!;
    return tables.find(({ subnetIds }) => subnetIds.includes(subnetId)) ??
      tables.find((table) => table.vpcId === vpcId && table.isMain)!;
  }

  /** Has a route be there, and lead to `target`, as if another host had written it; `undefined` removes it. */
  putRoute(tableId: string, destination: string, target: string | undefined): void {
    const table = this.routeTables.get(tableId)!;
    const others = table.routes.filter((route) => route.destination !== destination);
    table.routes = target === undefined
      ? others
      : [...others, { destination, target, origin: "CreateRoute" }];
    this.changed();
  }

  /** The first address of a subnet's prefix that no ENI has. */
  freeAddress(subnetId: string, cidr = this.subnets.get(subnetId)!.cidr): string {
    const { address, length } = parsePrefix(cidr);
    const taken = new Set(
      [...this.interfaces.values()].flatMap((eni) => [...eni.addresses, ...eni.ipv6Addresses]),
    );
    const isIpv4 = typeof address === "number";
    const count = Math.min(2 ** ((isIpv4 ? 32 : 128) - length) - 1, 2 ** 16);
    for (let offset = KEPT_ADDRESSES; offset < count; offset++) {
      const next = isIpv4 ? address + offset : address + BigInt(offset);
      const text = formatAddress(next as typeof address);
      if (!taken.has(text)) return text;
    }
    throw new AwsError(
      "InsufficientFreeAddressesInSubnet",
      `The subnet '${subnetId}' does not have enough free addresses.`,
    );
  }
}
