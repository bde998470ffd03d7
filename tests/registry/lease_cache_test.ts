import { assertEquals, assertThrows } from "@std/assert";
import { formatLeaseCache, type LeaseCache, parseLeaseCache } from "../../src/registry/lease_cache.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { SEED, seededRandom } from "../double/random.ts";

const OWN: Lease = {
  host: "n1",
  backendType: "vxlan",
  parts: [
    {
      subnet: parsePrefix("10.244.1.0/24"),
      underlayAddress: parseAddress("192.0.2.1"),
      backendData: { VNI: 1 },
    },
    { subnet: parsePrefix("fd00:1::/64"), underlayAddress: parseAddress("2001:db8::1"), backendData: null },
  ],
  expiresAtMs: 1_700_000_000_000,
};
const OTHER: Lease = {
  host: "n2",
  backendType: "",
  parts: [{ ...OWN.parts[0]!, backendData: "`id`\n" }],
  since: 7,
  dataSince: 9,
  addressSince: 8,
};
const CACHE: LeaseCache = {
  registry: "etcd /net",
  networkConfig: '{"Network":"10.0.0.0/8"}',
  own: OWN,
  leases: [OWN, OTHER],
};

function textOf(cache: LeaseCache): string {
  return [...formatLeaseCache(cache)].join("");
}

Deno.test("parseLeaseCache() reads back what formatLeaseCache() wrote", () => {
  assertEquals(parseLeaseCache(textOf(CACHE)), CACHE);
  const bare = { ...CACHE, networkConfig: undefined, leases: [] };
  assertEquals(parseLeaseCache(textOf(bare)), bare);
});

Deno.test("formatLeaseCache() writes lines that a person can read", () => {
  assertEquals(textOf({ ...CACHE, leases: [OTHER] }).split("\n"), [
    '{"version":1,"registry":"etcd /net","networkConfig":"{\\"Network\\":\\"10.0.0.0/8\\"}","own":{"host":"n1",' +
    '"backendType":"vxlan","expiresAtMs":1700000000000,"parts":[{"subnet":"10.244.1.0/24",' +
    '"underlayAddress":"192.0.2.1","backendData":{"VNI":1}},{"subnet":"fd00:1::/64",' +
    '"underlayAddress":"2001:db8::1","backendData":null}]}}',
    '{"host":"n2","backendType":"","since":7,"dataSince":9,"addressSince":8,"parts":[{"subnet":"10.244.1.0/24","underlayAddress":"192.0.2.1",' +
    '"backendData":"`id`\\n"}]}',
    "",
  ]);
});

Deno.test("parseLeaseCache() leaves out a damaged line, and only that", () => {
  const lines = textOf({ ...CACHE, leases: [OTHER, OWN, OTHER] }).split("\n");
  lines[2] = lines[2]!.replace("10.244.1.0/24", "10.244.1.0");
  assertEquals(parseLeaseCache(lines.join("\n")).leases, [OTHER, OTHER]);
});

const refused: [name: string, text: string][] = [
  ["an empty file", ""],
  ["another version", textOf(CACHE).replace('"version":1', '"version":2')],
  [
    "an own lease with three parts",
    textOf({ ...CACHE, own: { ...OWN, parts: [...OWN.parts, OWN.parts[0]!] } }),
  ],
  ["an own lease without a subnet", textOf(CACHE).replace("10.244.1.0/24", "nothing")],
];

for (const [name, text] of refused) {
  Deno.test(`parseLeaseCache() refuses ${name}`, () => {
    assertThrows(() => parseLeaseCache(text), SyntaxError);
  });
}

Deno.test(`parseLeaseCache() reads or refuses all that may become of the file, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  for (let round = 0; round < 2000; round++) {
    const bytes = new TextEncoder().encode(textOf(CACHE));
    for (let hit = 0; hit < 4; hit++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    try {
      parseLeaseCache(new TextDecoder().decode(bytes.subarray(0, 1 + Math.floor(random() * bytes.length))));
    } catch (error) {
      if (!(error instanceof SyntaxError)) {
        throw new Error(`round ${round} of seed ${SEED}`, { cause: error });
      }
    }
  }
});
