import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { claimLease, type NodeClaim } from "../../../src/registry/kube/kube_claim.ts";
import { annotationKeys, type KubeNode } from "../../../src/registry/kube/kube_node.ts";
import type { LeaseRequest } from "../../../src/registry/registry.ts";
import { RegistryError } from "../../../src/registry/registry_error.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../../src/model/address.ts";

const PREFIX = "flannel.alpha.coreos.com/";
const KEYS = annotationKeys(PREFIX);
const NETWORKS = [parsePrefix("10.244.0.0/16"), parsePrefix("fd00:10:244::/56")];
const REQUEST: LeaseRequest = {
  backendType: "vxlan",
  parts: [
    { underlayAddress: parseAddress("192.0.2.7"), backendData: { VNI: 1, VtepMAC: "12:c6:65:89:b4:e3" } },
    { underlayAddress: parseAddress("2001:db8::7"), backendData: { VNI: 1, VtepMAC: "12:c6:65:89:b4:e4" } },
  ],
  origin: {},
};
/** What flanneld 0.20.2 writes for that request. */
const WRITTEN = {
  [`${PREFIX}kube-subnet-manager`]: "true",
  [`${PREFIX}backend-type`]: "vxlan",
  [`${PREFIX}public-ip`]: "192.0.2.7",
  [`${PREFIX}backend-data`]: '{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}',
  [`${PREFIX}public-ipv6`]: "2001:db8::7",
  [`${PREFIX}backend-v6-data`]: '{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e4"}',
};

function node(annotations: Record<string, string> | undefined, podCIDRs: string[]): KubeNode {
  return {
    metadata: { name: "n7", uid: "u", resourceVersion: "1", creationTimestamp: "", annotations },
    spec: { podCIDRs, podCIDR: podCIDRs[0] },
  };
}

function claim(annotations: Record<string, string> | undefined, podCIDRs: string[], families: 1 | 2 = 1) {
  const networks = NETWORKS.slice(0, families);
  return withoutSince(claimLease(node(annotations, podCIDRs), REQUEST, { keys: KEYS, networks, now: 0 }));
}

/** Since when is a matter of its own. */
function withoutSince({ annotations, ...claim }: NodeClaim): NodeClaim {
  const { [KEYS.since]: _, ...others } = annotations;
  return { ...claim, annotations: others };
}

function only(family: 1 | 2): Record<string, string> {
  return Object.fromEntries(Object.entries(WRITTEN).slice(0, family === 1 ? 4 : 6));
}

Deno.test("claimLease() writes what flanneld writes, into a node without annotations", () => {
  const { lease, annotations } = claim(undefined, ["10.244.7.0/24"]);
  assertEquals(annotations, only(1));
  assertEquals([lease.host, lease.backendType, lease.expiresAtMs], ["n7", "vxlan", undefined]);
  assertEquals(
    lease.parts.map((
      { subnet, underlayAddress, backendData },
    ) => [formatPrefix(subnet), formatAddress(underlayAddress), backendData]),
    [
      ["10.244.7.0/24", "192.0.2.7", { VNI: 1, VtepMAC: "12:c6:65:89:b4:e3" }],
    ],
  );
});

Deno.test("claimLease() writes both families in dual stack", () => {
  const { lease, annotations } = claim({}, ["10.244.7.0/24", "fd00:10:244:7::/64"], 2);
  assertEquals(annotations, only(2));
  assertEquals(lease.parts.map(({ subnet }) => formatPrefix(subnet)), [
    "10.244.7.0/24",
    "fd00:10:244:7::/64",
  ]);
});

Deno.test("claimLease() writes nothing that is there already", () => {
  assertEquals(claim(only(1), ["10.244.7.0/24"]).annotations, {});
});

for (const [key, value] of Object.entries(only(1))) {
  Deno.test(`claimLease() writes only ${key} when that was changed`, () => {
    assertEquals(claim({ ...only(1), [key]: "changed" }, ["10.244.7.0/24"]).annotations, { [key]: value });
  });
}

Deno.test("claimLease() publishes the address that an operator put in place of the own one", () => {
  const { lease, annotations } = claim({ ...only(1), [`${PREFIX}public-ip-overwrite`]: "198.51.100.7" }, [
    "10.244.7.0/24",
  ]);
  assertEquals(annotations, { [`${PREFIX}public-ip`]: "198.51.100.7" });
  assertEquals(formatAddress(lease.parts[0]!.underlayAddress), "198.51.100.7");
});

Deno.test("claimLease() leaves the annotations of others alone", () => {
  const { annotations } = claim({ "example.com/other": "1", ...only(1) }, ["10.244.7.0/24"]);
  assertEquals(annotations, {});
});

const partial: [
  name: string,
  podCIDRs: string[],
  request: LeaseRequest,
  subnet: string,
  shortfall: string,
][] = [
  [
    "the cluster gave IPv4 only",
    ["10.244.7.0/24"],
    REQUEST,
    "10.244.7.0/24",
    "node n7 has no podCIDR of IPv6, only 10.244.7.0/24: the controller manager gives it one",
  ],
  [
    "the IPv4 subnet is of another network",
    ["10.42.7.0/24", "fd00:10:244:7::/64"],
    REQUEST,
    "fd00:10:244:7::/64",
    "podCIDR 10.42.7.0/24 of node n7 is not in Network 10.244.0.0/16",
  ],
  [
    "IPv6 can't leave the host",
    ["10.244.7.0/24", "fd00:10:244:7::/64"],
    { ...REQUEST, parts: REQUEST.parts.slice(0, 1) },
    "10.244.7.0/24",
    "no underlay address for a subnet of fd00:10:244::/56 was given",
  ],
];

for (const [name, podCIDRs, request, subnet, shortfall] of partial) {
  Deno.test(`claimLease() takes ${subnet} alone when ${name}, and says so`, () => {
    const { lease, annotations, shortfalls } = claimLease(node({}, podCIDRs), request, {
      keys: KEYS,
      networks: NETWORKS,
      now: 0,
    });
    assertEquals(lease.parts.map((part) => formatPrefix(part.subnet)), [subnet]);
    assertEquals(Object.hasOwn(annotations, `${PREFIX}public-ipv6`), subnet.includes(":"));
    assertEquals(Object.hasOwn(annotations, `${PREFIX}public-ip`), !subnet.includes(":"));
    assertEquals(shortfalls.length, 1);
    assertStringIncludes(shortfalls[0]!, shortfall);
  });
}

const refused: [
  name: string,
  annotations: Record<string, string>,
  podCIDRs: string[],
  families: 1 | 2,
  message: string,
][] = [
  [
    "no podCIDR",
    {},
    [],
    1,
    "Cannot take the lease of node n7: node n7 has no podCIDR: the controller manager gives it one if it runs with " +
    "--allocate-node-cidrs=true and a --cluster-cidr that has 10.244.0.0/16 (kubeadm: --pod-network-cidr)",
  ],
  [
    "a podCIDR outside of the network",
    {},
    ["10.42.7.0/24"],
    1,
    "podCIDR 10.42.7.0/24 of node n7 is not in Network 10.244.0.0/16; make Network in net-conf.json the " +
    "--cluster-cidr of the controller manager",
  ],
  [
    "a podCIDR wider than the network",
    {},
    ["10.0.0.0/8"],
    1,
    "podCIDR 10.0.0.0/8 of node n7 is not in Network 10.244.0.0/16",
  ],
  ["a podCIDR that is none", {}, ["all"], 1, 'spec.podCIDR "all" is not a prefix'],
  [
    "an address of an operator that is none",
    { [`${PREFIX}public-ip-overwrite`]: "host" },
    ["10.244.7.0/24"],
    1,
    `annotation ${PREFIX}public-ip-overwrite must be an IPv4 address, is "host"; mend or remove it: kubectl annotate node ` +
    `n7 ${PREFIX}public-ip-overwrite-`,
  ],
];

for (const [name, annotations, podCIDRs, families, message] of refused) {
  Deno.test(`claimLease() says what to do about ${name}`, () => {
    assertThrows(() => claim(annotations, podCIDRs, families), RegistryError, message);
  });
}
