import { assertEquals } from "@std/assert";
import {
  clusterMisfitOf,
  type GuardedRegistry,
  misfitOf,
  NetworkGuard,
  type NetworkPlace,
  refusal,
} from "../../src/agent/network_guard.ts";
import { deriveSubnets, type FamilyNetwork } from "../../src/config/subnets.ts";
import type { FamilySubnets } from "../../src/registry/choose_subnet.ts";
import type { LeaseRequest } from "../../src/registry/registry.ts";
import { familyOf, formatPrefix, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { leaseOf } from "../double/test_host.ts";

const signal = new AbortController().signal;
const ETCD: NetworkPlace = { kind: "etcd", registryName: "etcd /net", source: "etcd /net/config" };

function familiesOf(...networks: string[]): FamilyNetwork[] {
  return networks.map((text) => {
    const network = parsePrefix(text);
    const keys = { length: undefined, minimum: undefined, maximum: undefined };
    return deriveSubnets(familyOf(network.address), network, keys) as FamilyNetwork;
  });
}

const four = familiesOf("10.244.0.0/16");
const both = familiesOf("10.244.0.0/16", "fd00:10:244::/56");

const judged: [families: FamilyNetwork[], subnets: string[], misfit: string | undefined, why: string][] = [
  [four, [], undefined, "nothing speaks against it"],
  [four, ["10.244.3.0/24"], undefined, "it lies in it"],
  [four, ["10.244.0.0/16"], undefined, "it is all of it"],
  [four, ["10.99.3.0/24"], "10.99.3.0/24", "it lies elsewhere"],
  [four, ["10.0.0.0/8"], "10.0.0.0/8", "it is larger"],
  [four, ["fd00:10:244:3::/64"], undefined, "a family that is not in use does not count"],
  [both, ["10.244.3.0/24", "fd00:10:244:3::/64"], undefined, "both lie in theirs"],
  [both, ["10.244.3.0/24", "fd00:99::/64"], "fd00:99::/64", "one of two is enough"],
  [both, ["10.244.3.0/24"], undefined, "what is not held says nothing"],
];

for (const [families, subnets, misfit, why] of judged) {
  const networks = families.map(({ network }) => formatPrefix(network)).join(" and ");
  Deno.test(`${subnets.join(" and ") || "no subnet"} ${misfit ? "is not" : "is"} for ${networks}: ${why}`, () => {
    const found = misfitOf(families, subnets.map(parsePrefix));
    assertEquals(found && formatPrefix(found.subnet), misfit);
  });
}

const given: [held: string[], given: string[], misfit: string | undefined, why: string][] = [
  [[], [], undefined, "the node has nothing yet"],
  [[], ["10.244.3.0/24", "fd00:10:244:3::/64"], undefined, "all fits"],
  [[], ["10.244.3.0/24", "fd00:99::/64"], undefined, "a first start goes on with the family that fits"],
  [[], ["10.99.3.0/24", "fd00:99::/64"], "10.99.3.0/24", "nothing fits"],
  [[], ["10.99.3.0/24"], "10.99.3.0/24", "nothing else is given"],
  [
    ["10.244.3.0/24", "fd00:99::/64"],
    ["10.244.3.0/24", "fd00:99::/64"],
    "fd00:99::/64",
    "it is in use by others",
  ],
  [["10.244.3.0/24"], ["10.244.3.0/24", "fd00:99::/64"], undefined, "it never was in use"],
];

for (const [held, subnets, misfit, why] of given) {
  Deno.test(
    `a node with ${subnets.join(" and ") || "no podCIDR"} that holds ${held.join(" and ") || "nothing"} ${
      misfit ? `is refused for ${misfit}` : "is let in"
    }: ${why}`,
    () => {
      const found = clusterMisfitOf(both, { held: held.map(parsePrefix), given: subnets.map(parsePrefix) });
      assertEquals(found && formatPrefix(found.subnet), misfit);
    },
  );
}

const places: [place: NetworkPlace, host: string | undefined, sentence: string][] = [
  [
    ETCD,
    "10.99.3.0-24",
    "Network 10.244.0.0/16 of etcd /net/config is not applied, and all stays as it was: the lease 10.99.3.0/24 of this " +
    "host in etcd /net is not in it; mend Network, or if the change is meant remove the lease: etcdctl del " +
    "/net/subnets/10.99.3.0-24",
  ],
  [
    { kind: "local", registryName: "local /r.db", source: "/n.json" },
    "192.0.2.1",
    "Network 10.244.0.0/16 of /n.json is not applied, and all stays as it was: the lease 10.99.3.0/24 of this host in " +
    "local /r.db is not in it; mend Network, or if the change is meant end the agent and give the lease up: loden " +
    "cleanup -node, with the agent's flags",
  ],
  [
    { kind: "kube", registryName: "kube flannel.alpha.coreos.com/", source: "/n.json" },
    "n7",
    "Network 10.244.0.0/16 of /n.json is not applied, and all stays as it was: podCIDR 10.99.3.0/24 of node n7 is not " +
    "in it; mend Network, or if the change is meant delete the node and let it register again, so that it gets a " +
    "podCIDR of the new network",
  ],
];

for (const [place, host, sentence] of places) {
  Deno.test(`refusal() says what is, and what to do with ${place.kind}`, () => {
    const [network, subnet] = [parsePrefix("10.244.0.0/16"), parsePrefix("10.99.3.0/24")];
    assertEquals(refusal({ network, subnet }, host, place), sentence);
  });
}

const REQUEST: LeaseRequest = { backendType: "vxlan", parts: [], origin: {} };
const OLD = leaseOf("10.99.3.0-24", "10.99.3.0/24", "192.0.2.1", "0e:2a:00:00:00:01");

/** A guard whose registry gives one answer after another, each once; what is done to it is told. */
function guarded(answers: (Lease | Error | "changed" | undefined)[], remembered: string[]) {
  const told: string[] = [];
  const reasons: string[] = [];
  const never = new Promise<void>(() => {});
  let isOther = false;
  const registry = (name: string): GuardedRegistry => ({
    registry: {
      host: undefined,
      previous: () => {
        told.push(`${name} asked`);
        const answer = answers.shift();
        if (answer === "changed") isOther = true;
        if (answer instanceof Error) return Promise.reject(answer);
        return Promise.resolve(answer === "changed" ? OLD : answer);
      },
      acquire: ({ parts }) => {
        told.push(
          `${name} renewed ${
            JSON.stringify(parts) === JSON.stringify(OLD.parts) ? "as it was" : "otherwise"
          }`,
        );
        return Promise.resolve(OLD);
      },
    },
    [Symbol.dispose]: () => void told.push(`${name} closed`),
  });
  const guard = new NetworkGuard({
    families: four,
    place: ETCD,
    remembered: remembered.map(parsePrefix),
    changed: () => isOther ? Promise.resolve() : never,
    isOther: () => isOther,
    waiting: ({ code, sentence }) => void reasons.push(`${code}: ${sentence}`),
    elapsedMs: () => 0,
  });
  const openFor = (families: readonly FamilySubnets[]) => {
    told.push(`opened for ${families.map(({ network }) => formatPrefix(network))}`);
    return registry("second");
  };
  const admit = () => guard.admit(registry("first"), { request: () => REQUEST, openFor }, { signal });
  return { admit, told, reasons };
}

Deno.test("NetworkGuard asks nobody where this host remembers that the network is the one of before", async () => {
  const { admit, told } = guarded([], ["10.244.3.0/24"]);
  assertEquals([await admit(), told], [true, []]);
});

Deno.test("NetworkGuard asks the registry where nothing is remembered", async () => {
  const { admit, told } = guarded([undefined], []);
  assertEquals([await admit(), told], [true, ["first asked"]]);
});

Deno.test("NetworkGuard believes the registry, and not what is remembered, that the lease is gone", async () => {
  const { admit, told } = guarded([undefined], ["10.99.3.0/24"]);
  assertEquals([await admit(), told], [true, ["first asked"]]);
});

Deno.test("NetworkGuard keeps a lease that is not in the network as it is, until it is gone", async () => {
  const { admit, told, reasons } = guarded([OLD, undefined], ["10.99.3.0/24"]);
  assertEquals(await admit(), true);
  assertEquals(told, [
    "first asked",
    "opened for 10.99.3.0/24",
    "second renewed as it was",
    "second asked",
    "second closed",
  ]);
  assertEquals(reasons.map((reason) => reason.split(":")[0]), ["network-refused"]);
});

Deno.test("NetworkGuard gives way to another configuration", async () => {
  const { admit, told } = guarded(["changed"], []);
  assertEquals([await admit(), told.at(-1)], [false, "second closed"]);
});

Deno.test("NetworkGuard waits for a registry that is away, and names what is remembered against the network", async () => {
  const away = () => new Error("Cannot read the own lease: nobody answers");
  const unknown = guarded([away(), undefined], []);
  assertEquals(await unknown.admit(), true);
  assertEquals(unknown.reasons, [
    "lease-missing: this host has no lease: Cannot read the own lease: nobody answers",
  ]);
  const doubted = guarded([away(), undefined], ["10.99.3.0/24"]);
  assertEquals(await doubted.admit(), true);
  assertEquals(
    doubted.reasons[0]?.endsWith(
      "; whether the lease is still there is not known: Cannot read the own lease: nobody answers",
    ),
    true,
  );
});
