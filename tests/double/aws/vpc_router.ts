import type { Netns } from "../../../src/lab/netns.ts";
import { addAddress, changeLink, forwardingSysctl, linkIndexOf, makeVeth } from "../../../src/lab/wiring.ts";
import type { Libc } from "../../../src/linux/libc.ts";
import { AF_INET, AF_INET6, parseAddress, parseMac, parsePrefix } from "../../../src/model/address.ts";
import type { Cloud } from "./cloud.ts";
import type { Instance, NetworkInterface, Subnet } from "./resources.ts";
import { isIpv6, waysOf } from "./routes.ts";

/** Where each subnet of IPv6 has its router, as AWS has it. */
export const ROUTER_IPV6 = "fe80:ec2::1";
const ONE_IPV4 = 32;
const FAMILIES = ["-4", "-6"] as const;
/** The kernel's tables of the subnets are numbered from here. */
const FIRST_TABLE = 1000;
/** Whose link there is. */
const ALIVE: readonly Instance["state"][] = ["pending", "running", "stopping"];

/** What the router's kernel holds, as ip(8) makes it and removes it. */
interface Entry {
  readonly family: (typeof FAMILIES)[number];
  readonly put: string;
  readonly remove: string;
}

/**
 * The router of a VPC, as a network namespace: each ENI of a host has a link to it, made and deleted as it is attached and
 * detached; the cloud's route tables are the kernel's, and the check of source and destination drops packets.
 *
 * As in a VPC, an ENI is led to by its MAC and asked nothing, all of a subnet is reached by the router, and what comes from
 * a subnet goes by that subnet's table. What no route leads anywhere is dropped in silence.
 */
export class VpcRouter implements AsyncDisposable {
  readonly #cloud: Cloud;
  readonly #libc: Libc;
  readonly #hosts = new Map<string, Netns>();
  /** The router's links, by the ENI at their other end. */
  readonly #ports = new Map<string, string>();
  /** What the kernel was told last. */
  #entries: ReadonlyMap<string, Entry> = new Map();
  #rules = "";
  #serial = 0;
  #isDue = false;
  #work: Promise<void> = Promise.resolve();
  readonly #stopListening: () => void;

  private constructor(libc: Libc, readonly netns: Netns, cloud: Cloud) {
    this.#libc = libc;
    this.#cloud = cloud;
    this.#stopListening = cloud.onChange(() => this.#nudge());
  }

  static open(libc: Libc, netns: Netns, cloud: Cloud): VpcRouter {
    for (const family of [AF_INET, AF_INET6] as const) netns.writeSysctl(forwardingSysctl(family), "1");
    for (const name of ["all", "default"]) netns.writeSysctl(`net/ipv4/conf/${name}/rp_filter`, "0");
    return new VpcRouter(libc, netns, cloud);
  }

  /** Gives the router an address of its own, at which hosts reach what listens there. */
  addAddress(text: string): void {
    const { client } = this.netns;
    addAddress(client, linkIndexOf(client, "lo"), { address: parseAddress(text), length: ONE_IPV4 });
  }

  /** Has the ENIs of an instance be links of a host from now on; resolves when they are. */
  async connect(instanceId: string, host: Netns): Promise<void> {
    this.#hosts.set(instanceId, host);
    this.#nudge();
    await this.settled();
  }

  /** Resolves when the kernel has what the cloud says; throws what it has refused. */
  async settled(): Promise<void> {
    while (this.#isDue) await this.#work;
    await this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopListening();
    await this.#work.catch(() => {});
  }

  #nudge(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#work = this.#work.then(async () => {
      this.#isDue = false;
      await this.#apply();
    });
    // It is thrown by who waits for it.
    this.#work.catch(() => {});
  }

  async #apply(): Promise<void> {
    const enis = [...this.#cloud.interfaces.values()].filter((eni) => this.#hostOf(eni) !== undefined);
    for (const eni of enis) if (!this.#ports.has(eni.id)) this.#plug(eni);
    const entries = new Map([
      ...["0.0.0.0/0", "::/0"].map((everything) => routeEntry(everything, "main", undefined)),
      ...enis.flatMap((eni) => this.#entriesOf(eni)),
      ...[...this.#cloud.subnets.values()].flatMap((subnet, at) => this.#waysOf(subnet, FIRST_TABLE + at)),
    ].map((entry) => [`${entry.family} ${entry.put}`, entry]));
    // What stands in the place of another replaces it; only what nothing replaces is removed.
    const removals = new Set([...entries.values()].map(({ family, remove }) => `${family} ${remove}`));
    const steps = [
      ...[...entries].filter(([key]) => !this.#entries.has(key))
        .map(([, { family, put }]) => [family, put] as const),
      ...[...this.#entries.values()].filter(({ family, remove }) => !removals.has(`${family} ${remove}`))
        .map(({ family, remove }) => [family, remove] as const),
    ];
    for (const family of FAMILIES) {
      const lines = steps.filter(([its]) => its === family).map(([, line]) => line);
      if (lines.length > 0) await this.#run(["ip", family, "-batch", "-"], lines.join("\n"));
    }
    this.#entries = entries;
    const rules = rulesOf(enis.map((eni) => ({ eni, port: this.#ports.get(eni.id)! })));
    if (rules !== this.#rules) await this.#run(["nft", "-f", "-"], rules);
    this.#rules = rules;
    for (const [id, name] of this.#ports) {
      if (enis.some((eni) => eni.id === id)) continue;
      await this.#run(["ip", "link", "delete", name], "");
      this.#ports.delete(id);
    }
  }

  #hostOf({ attachment }: NetworkInterface): Netns | undefined {
    if (attachment?.status !== "attached") return undefined;
    const instance = this.#cloud.instances.get(attachment.instanceId);
    return instance && ALIVE.includes(instance.state) ? this.#hosts.get(instance.id) : undefined;
  }

  /** As a hypervisor does it: the host sees a link that has a MAC, and nothing else. */
  #plug(eni: NetworkInterface): void {
    const port = `p${++this.#serial}`;
    const [{ netns }, host] = [this, this.#hostOf(eni)!];
    const ends = [
      { netns, name: port },
      { netns: host, name: `eth${eni.attachment!.deviceIndex}` },
    ] as const;
    const [here, there] = makeVeth(this.#libc, ...ends);
    changeLink(host.client, there, { isUp: false });
    changeLink(host.client, there, { mac: parseMac(eni.mac) });
    netns.writeSysctl(`net/ipv4/conf/${port}/proxy_arp`, "1");
    const { cidr } = this.#cloud.subnets.get(eni.subnetId)!;
    addAddress(netns.client, here, { address: routerOf(cidr), length: ONE_IPV4 });
    addAddress(netns.client, here, { address: parseAddress(ROUTER_IPV6), length: 64 });
    this.#ports.set(eni.id, port);
  }

  /** The way to an ENI, and from it. */
  #entriesOf(eni: NetworkInterface): Entry[] {
    const name = this.#ports.get(eni.id)!;
    const table = FIRST_TABLE + [...this.#cloud.subnets.keys()].indexOf(eni.subnetId);
    const rule = `iif ${name} lookup ${table}`;
    return [
      ...FAMILIES.map((family) => ({ family, put: `rule add ${rule}`, remove: `rule delete ${rule}` })),
      ...[...eni.addresses, ...eni.ipv6Addresses].flatMap((address) => [
        {
          family: familyOf(address),
          put: `neigh replace ${address} dev ${name} lladdr ${eni.mac} nud permanent`,
          remove: `neigh delete ${address} dev ${name}`,
        },
        routeEntry(address, "main", `dev ${name}`),
      ]),
    ];
  }

  /** The routes of a subnet's table; the VPC's own are those to its ENIs. */
  #waysOf(subnet: Subnet, table: number): Entry[] {
    return waysOf(this.#cloud, subnet.id).filter(({ eni, state }) =>
      eni !== undefined || state === "blackhole"
    )
      .map(({ destination, state, eni }) => {
        const port = eni && state === "active" ? this.#ports.get(eni.id) : undefined;
        const via = isIpv6(destination) ? eni?.ipv6Addresses[0] : eni?.addresses[0];
        const way = port && via && `via ${via} dev ${port} onlink`;
        return routeEntry(destination, String(table), way);
      });
  }

  async #run(command: readonly string[], input: string): Promise<void> {
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", this.netns.name, ...command],
      stdin: "piped",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const writer = child.stdin.getWriter();
    await writer.write(new TextEncoder().encode(`${input}\n`));
    await writer.close();
    const { code, stderr } = await child.output();
    if (code !== 0) {
      throw new Error(`Cannot run ${command.join(" ")} on\n${input}\n${new TextDecoder().decode(stderr)}`);
    }
  }
}

/** The first address of a subnet is its router's. */
export function routerOf(cidr: string): ReturnType<typeof parseAddress> {
  const { address } = parsePrefix(cidr);
  return (address as number) + 1 as ReturnType<typeof parseAddress>;
}

/** @param way A black hole if absent. */
function routeEntry(destination: string, table: string, way: string | undefined): Entry {
  const route = `${destination} table ${table}`;
  return {
    family: familyOf(destination),
    put: way ? `route replace ${route} ${way}` : `route replace blackhole ${route}`,
    remove: `route delete ${route}`,
  };
}

function familyOf(text: string): Entry["family"] {
  return isIpv6(text) ? "-6" : "-4";
}

/** The check of source and destination, of each ENI that has it on. */
function rulesOf(ports: readonly { readonly eni: NetworkInterface; readonly port: string }[]): string {
  const checks = ports.filter(({ eni }) => eni.sourceDestCheck).flatMap(({ eni, port }) => {
    const families = [["ip", eni.addresses], ["ip6", eni.ipv6Addresses]] as const;
    return families.flatMap(([family, addresses]) =>
      ([["iifname", "saddr"], ["oifname", "daddr"]] as const).map(([side, end]) =>
        addresses.length === 0
          ? `${side} ${port} meta nfproto ipv${family === "ip" ? 4 : 6} drop`
          : `${side} ${port} ${family} ${end} != { ${addresses.join(", ")} } drop`
      )
    );
  });
  return [
    "table inet vpc",
    "delete table inet vpc",
    "table inet vpc { chain forward { type filter hook forward priority 0; policy accept;",
    ...checks,
    "}",
    "}",
  ].join("\n");
}
