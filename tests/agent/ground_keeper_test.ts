import { assertEquals, assertMatch } from "@std/assert";
import { factsOf, GroundKeeper } from "../../src/agent/ground_keeper.ts";
import { addressFact } from "../../src/registry/ground.ts";
import { familyOf, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { ObservedLink } from "../../src/model/state.ts";
import type { HostNetwork } from "../../src/overlay/underlay/host_network.ts";
import { RecordedLog } from "../double/recorded_log.ts";

const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];

function link(linkIndex: number, name: string, kind?: string): ObservedLink {
  return { linkIndex, name, kind, isUp: true, mtuBytes: 1500, mac: undefined, vxlan: undefined };
}

const LINKS = [
  link(1, "lo"),
  link(2, "eth0"),
  link(3, "flannel.1", "vxlan"),
  link(4, "cni0", "bridge"),
  link(5, "veth5", "veth"),
  link(6, "lan0", "veth"),
];

function on(linkIndex: number, text: string, scope = 0): HostNetwork["addresses"][number] {
  const { address, length } = parsePrefix(text.replace(/^(.*)\/(\d+)$/, "$1/$2"));
  return { linkIndex, family: familyOf(address), address, length, scope, flags: 0 };
}

/** A prefix with host bits, as an address of a link has. */
function having(linkIndex: number, address: string, length: number, scope = 0) {
  return { ...on(linkIndex, `${address}/${address.includes(":") ? 128 : 32}`, scope), length };
}

const HOST: HostNetwork = {
  links: LINKS,
  addresses: [
    having(1, "10.244.9.9", 32),
    having(2, "10.244.1.2", 24),
    having(2, "fd00:10:244:1::2", 64),
    having(2, "fe80::2", 64, 253),
    having(3, "10.244.2.0", 32),
    having(4, "10.244.2.1", 24),
    having(5, "10.244.2.1", 32),
    having(6, "10.244.6.1", 24),
  ],
  defaultRoutes: [
    { family: 2, linkIndex: 2, metric: 0, mtuBytes: 0, gateway: parseAddress("10.244.1.254") },
    { family: 10, linkIndex: 2, metric: 1024, mtuBytes: 0, gateway: parseAddress("fe80::1") },
    { family: 2, linkIndex: 6, metric: 9, mtuBytes: 0 },
    {
      family: 2,
      linkIndex: 0,
      metric: 20,
      mtuBytes: 0,
      hops: [{ linkIndex: 2, gateway: parseAddress("10.244.1.253") }, { linkIndex: 6 }],
    },
  ],
};

Deno.test("factsOf() has addresses, segments and gateways, and nothing that is there for pods or of the overlay", () => {
  const facts = factsOf(HOST, { underlayLinkIndex: () => 2, bridgeName: "cni0" });
  assertEquals(
    facts.map(({ what, isForPods = false }) => `${what}${isForPods ? " (not the underlay)" : ""}`),
    [
      "10.244.1.2, an address of eth0",
      "10.244.1.0/24, which eth0 is on",
      "fd00:10:244:1::2, an address of eth0",
      "fd00:10:244:1::/64, which eth0 is on",
      "10.244.6.1, an address of lan0 (not the underlay)",
      "10.244.6.0/24, which lan0 is on (not the underlay)",
      "the gateway 10.244.1.254 of eth0",
      "the gateway fe80::1 of eth0",
      "the gateway 10.244.1.253 of eth0",
    ],
  );
});

function keeper(
  registryHosts: readonly string[],
  held: readonly string[] = [],
  names: Record<string, string[]> = {},
) {
  const log = new RecordedLog();
  let changes = 0;
  const ground = new GroundKeeper({
    networks: NETWORKS,
    registryHosts,
    registryName: "etcd /coreos.com/network",
    underlayLinkIndex: () => 2,
    bridgeName: () => "cni0",
    resolve: (name) =>
      names[name] ? Promise.resolve(names[name]) : Promise.reject(new Error("nobody answers")),
    changed: () => changes++,
    log,
  }, held.map(parsePrefix));
  return { ground, names, changes: () => changes };
}

const lease = (subnet: string): Lease => ({
  host: "own",
  backendType: "vxlan",
  parts: [{ subnet: parsePrefix(subnet), underlayAddress: parseAddress("192.0.2.1"), backendData: null }],
});

Deno.test("GroundKeeper keeps its list while nothing changes, and says when it does", () => {
  const { ground, changes } = keeper([]);
  ground.observe(HOST);
  const first = ground.facts;
  ground.observe({ ...HOST });
  assertEquals(ground.facts === first, true);
  assertEquals(changes(), 1);
  ground.observe({ ...HOST, addresses: [] });
  assertEquals([ground.facts.length, changes()], [2, 2]);
});

Deno.test("GroundKeeper says what of the cluster network can't be pods', the first of many by name", () => {
  const said = (hosts: readonly string[]) => {
    const { ground } = keeper(hosts);
    ground.settle();
    return ground.conditions(undefined).map(({ code, sentence }) => `${code}: ${sentence}`);
  };
  assertEquals(said([]), []);
  assertEquals(said(["10.244.7.2"]), [
    "network-in-use: in the cluster network this host has 10.244.7.2, where etcd /coreos.com/network is",
  ]);
  const many = Array.from({ length: 9 }, (_, n) => `10.244.7.${n + 1}`);
  assertMatch(said(many)[0]!, /10\.244\.7\.5, where etcd \S+ is; and 4 more$/);
});

Deno.test("GroundKeeper knows the registry's addresses at once, looks names up again, and keeps what it knew when nobody answers", async () => {
  const { ground, names } = keeper(["10.244.7.2", "etcd.example"], [], { "10.244.7.2": ["10.244.7.2"] });
  ground.settle();
  const here = addressFact(parseAddress("10.244.7.2"), "10.244.7.2, where etcd /coreos.com/network is");
  assertEquals(ground.facts, [here]);
  const there = (text: string) =>
    addressFact(parseAddress(text), "etcd.example, where etcd /coreos.com/network is");
  names["etcd.example"] = ["10.244.8.2", "192.0.2.9"];
  await ground.resolve();
  assertEquals(ground.facts, [here, there("10.244.8.2")]);
  delete names["etcd.example"];
  await ground.resolve();
  assertEquals(ground.facts, [here, there("10.244.8.2")]);
  names["etcd.example"] = ["fd00:10:244:9::2"];
  await ground.resolve();
  assertEquals(ground.facts, [here, there("fd00:10:244:9::2")]);
});

Deno.test("GroundKeeper refuses an own lease over the underlay's segment until state was made for it", () => {
  const own = lease("10.244.1.0/24");
  const fresh = keeper([]).ground;
  fresh.observe(HOST);
  assertEquals(
    fresh.refusal(own),
    "the lease of this host can't be used: its subnet 10.244.1.0/24 covers 10.244.1.2, an address of eth0, which " +
      "this host needs; give it another subnet, or move what is there",
  );
  assertEquals(fresh.conditions(own).map(({ code }) => code), ["lease-unusable", "network-in-use"]);
  // What is on other links in the own subnet is there for pods.
  assertEquals(fresh.refusal(lease("10.244.6.0/24")), undefined);
  assertEquals(fresh.refusal(lease("10.244.3.0/24")), undefined);
  fresh.leaseUsed();
  assertEquals(fresh.refusal(own), undefined);
  assertEquals(fresh.conditions(own).map(({ code }) => code), ["lease-unusable", "network-in-use"]);
  const restarted = keeper([], ["10.244.1.0/24"]).ground;
  restarted.observe(HOST);
  assertEquals(restarted.refusal(own), undefined);
});
