import { assert, assertEquals } from "@std/assert";
import { JsonSieve } from "../../../src/registry/http/json_sieve.ts";
import {
  annotationKeys,
  keptOfNode,
  MAX_VALUE_BYTES,
  type NodeReading,
  nodeSchema,
  readNode,
} from "../../../src/registry/kube/kube_node.ts";
import { formatAddress, formatPrefix } from "../../../src/model/address.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";

const PREFIX = "flannel.alpha.coreos.com/";

/** What flanneld 0.20.2 writes into its node, by name without the prefix. */
const FLANNEL: Record<string, unknown> = {
  "backend-data": '{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e3"}',
  "backend-type": "vxlan",
  "kube-subnet-manager": "true",
  "public-ip": "192.0.2.7",
};
const FLANNEL_V6 = {
  "backend-v6-data": '{"VNI":1,"VtepMAC":"12:c6:65:89:b4:e4"}',
  "public-ipv6": "2001:db8::7",
};

/** A node as the API server sends it, through the sieve. */
function read(annotations: Record<string, unknown> | undefined, spec: unknown, prefix = PREFIX): NodeReading {
  const keyed = annotations &&
    Object.fromEntries(Object.entries(annotations).map(([name, value]) => [prefix + name, value]));
  const node = {
    kind: "Node",
    metadata: { name: "n7", uid: "u-7", resourceVersion: "42", labels: { a: "b" }, annotations: keyed },
    spec,
    status: { images: [{ names: ["x"] }] },
  };
  const keys = annotationKeys(prefix);
  let found: unknown;
  new JsonSieve(keptOfNode(keys), { document: (value) => found = value })
    .write(new TextEncoder().encode(JSON.stringify(node)));
  return readNode(nodeSchema.parse(found), keys);
}

function described(reading: NodeReading): unknown {
  if (reading.kind !== "lease") return reading;
  const { host, backendType, parts } = reading.lease;
  return [
    host,
    backendType,
    ...parts.map((
      { subnet, underlayAddress, backendData },
    ) => [formatPrefix(subnet), formatAddress(underlayAddress), backendData]),
  ];
}

const V4 = ["10.244.7.0/24", "192.0.2.7", { VNI: 1, VtepMAC: "12:c6:65:89:b4:e3" }];
const V6 = ["fd00:7::/64", "2001:db8::7", { VNI: 1, VtepMAC: "12:c6:65:89:b4:e4" }];

const leases: [name: string, annotations: Record<string, unknown>, spec: unknown, lease: unknown[]][] = [
  ["what flanneld writes", FLANNEL, { podCIDR: "10.244.7.0/24", podCIDRs: ["10.244.7.0/24"] }, [
    "n7",
    "vxlan",
    V4,
  ]],
  ["a node that has podCIDR alone, as before Kubernetes 1.16", FLANNEL, { podCIDR: "10.244.7.0/24" }, [
    "n7",
    "vxlan",
    V4,
  ]],
  ["both families", { ...FLANNEL, ...FLANNEL_V6 }, { podCIDRs: ["10.244.7.0/24", "fd00:7::/64"] }, [
    "n7",
    "vxlan",
    V4,
    V6,
  ]],
  [
    "both families, IPv6 first",
    { ...FLANNEL, ...FLANNEL_V6 },
    { podCIDRs: ["fd00:7::/64", "10.244.7.0/24"] },
    ["n7", "vxlan", V4, V6],
  ],
  ["IPv6 alone", { ...FLANNEL, ...FLANNEL_V6 }, { podCIDRs: ["fd00:7::/64"] }, ["n7", "vxlan", V6]],
  ["the part that is whole, where the other has no address yet", FLANNEL, {
    podCIDRs: ["10.244.7.0/24", "fd00:7::/64"],
  }, ["n7", "vxlan", V4]],
  ["the last of two podCIDRs of a family, as flannel does", FLANNEL, {
    podCIDRs: ["10.244.6.0/24", "10.244.7.0/24"],
  }, ["n7", "vxlan", V4]],
  ["a podCIDR with host bits", FLANNEL, { podCIDR: "10.244.7.9/24" }, ["n7", "vxlan", V4]],
  [
    "a backend without data",
    { ...FLANNEL, "backend-type": "host-gw", "backend-data": "null" },
    { podCIDR: "10.244.7.0/24" },
    ["n7", "host-gw", ["10.244.7.0/24", "192.0.2.7", null]],
  ],
  [
    "flannel's udp backend, which has no type",
    { ...FLANNEL, "backend-type": "", "backend-data": "" },
    { podCIDR: "10.244.7.0/24" },
    ["n7", "", ["10.244.7.0/24", "192.0.2.7", null]],
  ],
  [
    "flannel v0.8.0, which knows no VNI",
    { ...FLANNEL, "backend-data": '{"VtepMAC":"12:c6:65:89:b4:e3"}' },
    { podCIDR: "10.244.7.0/24" },
    ["n7", "vxlan", ["10.244.7.0/24", "192.0.2.7", { VtepMAC: "12:c6:65:89:b4:e3" }]],
  ],
];

for (const [name, annotations, spec, lease] of leases) {
  Deno.test(`readNode() reads ${name}`, () => {
    assertEquals(described(read(annotations, spec)), lease);
  });
}

Deno.test("readNode() reads annotations under another prefix", () => {
  assertEquals(described(read(FLANNEL, { podCIDR: "10.244.7.0/24" }, "example.com/blue-")), [
    "n7",
    "vxlan",
    V4,
  ]);
});

const unmanaged: [name: string, annotations: Record<string, unknown> | undefined][] = [
  ["no annotations", undefined],
  ["annotations of others", { other: "true" }],
  ["another word than true", { ...FLANNEL, "kube-subnet-manager": "TRUE" }],
];

for (const [name, annotations] of unmanaged) {
  Deno.test(`readNode() leaves a node with ${name} to others`, () => {
    assertEquals(read(annotations, { podCIDR: "10.244.7.0/24" }), { kind: "unmanaged" });
  });
}

const CIDR = { podCIDR: "10.244.7.0/24" };
const faults: [name: string, annotations: Record<string, unknown>, spec: unknown, reason: string][] = [
  ["no podCIDR", FLANNEL, {}, "its node has no podCIDR yet"],
  ["no spec", FLANNEL, undefined, "its node has no podCIDR yet"],
  [
    "no address",
    { ...FLANNEL, "public-ip": "" },
    CIDR,
    `its node has no annotation ${PREFIX}public-ip that fits its podCIDR`,
  ],
  [
    "an address that is a name",
    { ...FLANNEL, "public-ip": "host" },
    CIDR,
    `annotation ${PREFIX}public-ip must be an IPv4 address, is "host"`,
  ],
  [
    "an address with shell in it",
    { ...FLANNEL, "public-ip": "$(reboot)" },
    CIDR,
    `annotation ${PREFIX}public-ip must be an IPv4 address, is "$(reboot)"`,
  ],
  [
    "data that is no JSON",
    { ...FLANNEL, "backend-data": '{"VNI":' },
    CIDR,
    `annotation ${PREFIX}backend-data must be JSON, is "{\\"VNI\\":"`,
  ],
  [
    "a megabyte of data",
    { ...FLANNEL, "backend-data": "x".repeat(1 << 20) },
    CIDR,
    `annotation ${PREFIX}backend-data must be JSON, is 1048578 bytes long, and at most ${MAX_VALUE_BYTES} are read`,
  ],
  [
    "a backend type that is a book",
    { ...FLANNEL, "backend-type": "x".repeat(100) },
    CIDR,
    `annotation ${PREFIX}backend-type is no backend type: "${"x".repeat(79)}…`,
  ],
  ["a podCIDR that is none", FLANNEL, { podCIDR: "all" }, 'spec.podCIDR "all" is not a prefix'],
  [
    "three podCIDRs",
    FLANNEL,
    { podCIDRs: ["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"] },
    "spec.podCIDRs has 3 entries, and at most 2 make sense",
  ],
];

for (const [name, annotations, spec, reason] of faults) {
  Deno.test(`readNode() finds the fault of a node with ${name}`, () => {
    assertEquals(read(annotations, spec), { kind: "fault", reason });
  });
}

Deno.test(`readNode() makes a lease or names a short fault of anything that a node says, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  const words = [
    "",
    "true",
    "null",
    "{}",
    "[]",
    "192.0.2.1",
    "::1",
    "10.0.0.0/8",
    "fd00::/8",
    "`id`",
    "\u0000",
    "9".repeat(400),
    "{".repeat(90),
  ];
  const any = () =>
    pick<unknown>(random, [...words, ...words, 1, null, true, [], {}, ["10.0.0.0/8"], "x".repeat(20_000)]);
  for (let round = 0; round < 3000; round++) {
    const names = ["kube-subnet-manager", ...Object.keys(FLANNEL), ...Object.keys(FLANNEL_V6)];
    const annotations = Object.fromEntries(
      names.map((name) => [name, random() < 0.5 ? FLANNEL[name] ?? "true" : any()]),
    );
    const reading = read(
      annotations,
      pick(random, [CIDR, { podCIDR: any() }, { podCIDRs: any() }, { podCIDRs: [any()] }]),
    );
    const length = reading.kind === "fault" ? reading.reason.length : 0;
    assert(length < 300, `round ${round} of seed ${SEED}`);
  }
});
