import type { Backend, BackendContext } from "../../src/overlay/backend/backend.ts";
import { vxlanBackend, type VxlanOptions } from "../../src/overlay/backend/vxlan.ts";
import type { Log } from "../../src/log/log.ts";
import {
  type Family,
  parseAddress,
  parsePrefix,
  type Prefix,
  prefixEquals,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { queryLink } from "../../src/rtnetlink/link.ts";
import type { NetlinkTransport } from "../../src/netlink/socket.ts";
import { ForeignFaults } from "../../src/reconcile/foreign_faults.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { type Drift, observeDrift } from "../../src/reconcile/drift.ts";
import { reconcileOnce, type ReconcilerDeps } from "../../src/reconcile/reconciler.ts";
import type { PassReport } from "../../src/reconcile/report.ts";
import { createUnderlayLink, TestNetns } from "./netns.ts";

/** What a test host looks like. */
export interface TestHostOptions {
  readonly family?: Family;
  readonly vxlan?: Partial<VxlanOptions>;
  /** Makes another backend than vxlan. */
  readonly backend?: (context: BackendContext) => Backend;
  /** Whether others' routes to peers' subnets give way. */
  readonly takesForeign?: boolean;
  /** Whether flannel's routes over the underlay are taken for ours. */
  readonly isAdopting?: boolean;
}

/** A log that is not read. */
const SILENT: Log = { write: () => {} };

const OWN_MAC = "0e:2a:00:00:00:01";

/** The cluster network of each family, and this host's half of a lease in it. */
const FAMILY = {
  2: { network: "10.244.0.0/16", own: "10.244.1.0/24", address: "192.0.2.1", segment: "192.0.2.0/24" },
  10: {
    network: "fd00:10:244::/48",
    own: "fd00:10:244:1::/64",
    address: "2001:db8::1",
    segment: "2001:db8::/64",
  },
} as const;

/** A private network namespace with an underlay link `eth0`, and the reconciler at work in it. */
export class TestHost implements AsyncDisposable {
  readonly netns: TestNetns;
  readonly family: Family;
  readonly transport: NetlinkTransport;
  underlay: Underlay;
  own: Lease;
  readonly networks: readonly Prefix[];
  /** May change between passes, as after a restart with another configuration. */
  options: TestHostOptions;
  readonly #stack: AsyncDisposableStack;

  private constructor(
    netns: TestNetns,
    transport: NetlinkTransport,
    underlay: Underlay,
    options: TestHostOptions,
    stack: AsyncDisposableStack,
  ) {
    this.netns = netns;
    this.transport = transport;
    this.underlay = underlay;
    this.family = options.family ?? 2;
    this.networks = [parsePrefix(FAMILY[this.family].network)];
    this.own = leaseOf("own", FAMILY[this.family].own, FAMILY[this.family].address, OWN_MAC);
    this.options = options;
    this.#stack = stack;
  }

  static async open(libc: Libc, options: TestHostOptions = {}): Promise<TestHost> {
    await using stack = new AsyncDisposableStack();
    const netns = stack.use(await TestNetns.create());
    const family = options.family ?? 2;
    const { address, segment } = FAMILY[family];
    const linkIndex = await createUnderlayLink(netns, {
      name: "eth0",
      ...(family === 2 ? { address4: `${address}/24` } : { address6: `${address}/64` }),
    });
    const transport = stack.use(netns.openTransport(libc));
    const underlay: Underlay = {
      linkIndex,
      linkName: "eth0",
      mtuBytes: 1500,
      addresses: [{
        family,
        address: parseAddress(address),
        advertised: parseAddress(address),
        mtuBytes: 1500,
        segments: [parsePrefix(segment)],
      }],
    };
    return new TestHost(netns, transport, underlay, options, stack.move());
  }

  /** What a pass for `remote` needs, over `transport` in place of the host's own where one is given. */
  deps(remote: readonly Lease[], transport: NetlinkTransport = this.transport): ReconcilerDeps {
    const client = new NetlinkClient(transport);
    const { backend: make, vxlan, takesForeign = false, isAdopting = false } = this.options;
    const context = { networks: this.networks };
    const backend = make?.(context) ?? vxlanBackend(
      { vni: 1, port: 8472, gbp: false, learning: false, directRouting: false, ...vxlan },
      context,
    );
    return {
      client,
      observer: new Observer(client, { isAdopting: () => isAdopting }),
      takesForeign,
      foreignFaults: new ForeignFaults((linkIndex) => queryLink(client, linkIndex)?.name),
      desire: () => ({
        ...backend.desire(this.underlay, this.own, remote),
        remoteLeases: remote.length,
        ownSubnets: this.own.parts.map(({ subnet }) => subnet),
        reach: [],
        families: [this.family],
        otherBackends: [],
        doubts: [],
        isRemembered: false,
        hostOf: (wanted) =>
          remote.find(({ parts }) => parts.some(({ subnet }) => prefixEquals(subnet, wanted)))?.host,
      }),
      linkCreated: () => {},
      now: () => new Date(0),
      elapsedMs: () => performance.now(),
      log: SILENT,
    };
  }

  /** Runs one pass. */
  reconcile(remote: readonly Lease[], transport?: NetlinkTransport): PassReport {
    return reconcileOnce(this.deps(remote, transport))!;
  }

  /** What a pass would change. */
  drift(remote: readonly Lease[]): Pick<Drift, "links" | "tables"> {
    const { links, tables } = observeDrift(this.deps(remote));
    return { links, tables };
  }

  /** Everything of the overlay that the kernel holds, as iproute2 prints it: one entry a line, sorted. */
  async show(): Promise<string[]> {
    const vtep = this.family === 2 ? "flannel.1" : "flannel-v6.1";
    const links = await this.netns.ipJson("link", "show", "type", "vxlan");
    const lines = links.map((link) => {
      const { info_data: vxlan } = link.linkinfo as { info_data: Record<string, unknown> };
      const up = (link.flags as string[]).includes("UP") ? "up" : "down";
      return `link ${link.ifname} ${up} mtu ${link.mtu} lladdr ${link.address} vxlan id ${vxlan.id} ` +
        `local ${vxlan.local ?? vxlan.local6} dev ${vxlan.link} dstport ${vxlan.port}` +
        `${vxlan.learning ? " learning" : ""}`;
    });
    if (links.some((link) => link.ifname === vtep)) {
      for (const line of (await this.netns.ip("-o", "address", "show", "dev", vtep)).split("\n")) {
        const match = /inet6? (\S+) (.*)scope (\S+)/.exec(line);
        if (match !== null && match[3] !== "link") lines.push(`address ${match[1]} dev ${vtep}`);
      }
      lines.push(...prefixed("fdb", await this.netns.bridge("fdb", "show", "dev", vtep)));
    }
    const family = this.family === 2 ? "-4" : "-6";
    const routes = (await this.netns.ip(family, "route", "show")).split("\n")
      .filter((line) => !/^default|proto kernel/.test(line)).join("\n");
    lines.push(...prefixed("route", routes));
    lines.push(...prefixed("nexthop", await this.netns.ip("nexthop", "show")));
    lines.push(...prefixed("neigh", await this.netns.ip(family, "neigh", "show", "nud", "permanent")));
    return lines.sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

function prefixed(kind: string, text: string): string[] {
  return text.split("\n").map((line) => line.trim()).filter((line) => line !== "")
    .map((line) => `${kind} ${line}`);
}

/** A lease of one family. */
export function leaseOf(host: string, subnet: string, underlayAddress: string, mac: string): Lease {
  return {
    host,
    backendType: "vxlan",
    parts: [{
      subnet: parsePrefix(subnet),
      underlayAddress: parseAddress(underlayAddress),
      backendData: { VNI: 1, VtepMAC: mac },
    }],
  };
}
