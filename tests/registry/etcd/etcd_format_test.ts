import { assert, assertEquals } from "@std/assert";
import {
  type EtcdRecord,
  formatLeaseValue,
  formatSubnetKey,
  parseSubnetKey,
  plainLeaseValue,
  readEntry,
  shownHost,
} from "../../../src/registry/etcd/etcd_format.ts";
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";

const keys: [subnets: string[], key: string][] = [
  [["10.5.1.0/24"], "10.5.1.0-24"],
  [["10.5.1.0/24", "fd00:1:2:3::/64"], "10.5.1.0-24&fd00:1:2:3::-64"],
  [["fd00:1:2:3::/64"], "&fd00:1:2:3::-64"],
];

for (const [subnets, key] of keys) {
  Deno.test(`formatSubnetKey() makes ${key} as flanneld does, and parseSubnetKey() reads it`, () => {
    assertEquals(formatSubnetKey(subnets.map(parsePrefix)), key);
    assertEquals(parseSubnetKey(key)!.map(formatPrefix), subnets);
  });
}

const noKeys: [key: string, why: string][] = [
  ["", "it is empty"],
  ["config", "it is a word"],
  ["10.5.1.0", "the length is missing"],
  ["10.5.1.0/24", "a slash would be another folder"],
  ["10.5.1.256-24", "no octet is so large"],
  ["10.5.1.0-32", "flannel refuses a subnet of one address"],
  ["10.5.1.0-33", "no prefix is so long"],
  ["10.5.1.0-24&", "the IPv6 part is missing"],
  ["10.5.1.0-24&FD00::-64", "flannel writes lower case"],
  ["10.5.1.0-24&fd00::-128", "flannel refuses a subnet of one address"],
  ["10.5.1.0-24&fd00:-64", "the IPv6 part is no address"],
  ["x10.5.1.0-24", "it begins otherwise"],
  ["10.5.1.0-24.bak", "it ends otherwise"],
];

for (const [key, why] of noKeys) {
  Deno.test(`parseSubnetKey() takes "${key}" for no lease because ${why}`, () => {
    assertEquals(parseSubnetKey(key), undefined);
  });
}

const MAC = { VNI: 1, VtepMAC: "aa:bb:cc:dd:ee:ff" };

/** Values as flanneld 0.20.2 and later write them; the source is flannel's own encoder. */
const values: [name: string, key: string, value: string, backendType: string, parts: [string, unknown][]][] =
  [
    [
      "IPv4 and vxlan",
      "10.5.1.0-24",
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}',
      "vxlan",
      [["1.2.3.4", MAC]],
    ],
    [
      "both families",
      "10.5.1.0-24&fd00:1:2:3::-64",
      '{"PublicIP":"1.2.3.4","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"},' +
      '"BackendV6Data":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}',
      "vxlan",
      [["1.2.3.4", MAC], ["fd00::1", MAC]],
    ],
    [
      "no data",
      "10.5.1.0-24",
      '{"PublicIP":"1.2.3.4","PublicIPv6":null,"BackendType":"host-gw"}',
      "host-gw",
      [["1.2.3.4", null]],
    ],
    ["no type", "10.5.1.0-24", '{"PublicIP":"1.2.3.4","PublicIPv6":null}', "", [["1.2.3.4", null]]],
  ];

for (const [name, key, value, backendType, parts] of values) {
  Deno.test(`readEntry() reads flanneld's value with ${name}, and formatLeaseValue() writes the same`, () => {
    const reading = readEntry(key, entry(value));
    assert("lease" in reading);
    assertEquals(
      [
        reading.lease.host,
        reading.lease.backendType,
        ...reading.lease.parts.map((part) => [formatAddress(part.underlayAddress), part.backendData]),
      ],
      [key, backendType, ...parts],
    );
    assertEquals(formatLeaseValue(reading.lease), value);
  });
}

Deno.test("formatLeaseValue() writes 0.0.0.0 where there is no IPv4, as flannel does", () => {
  const part = { underlayAddress: parseAddress("fd00::1"), backendData: MAC };
  assertEquals(
    formatLeaseValue({ backendType: "vxlan", parts: [part] }),
    '{"PublicIP":"0.0.0.0","PublicIPv6":"fd00::1","BackendType":"vxlan","BackendV6Data":{"VNI":1,"VtepMAC":"aa:bb:cc:dd:ee:ff"}}',
  );
});

Deno.test("readEntry() reads the values of flannel v0.8.0", () => {
  const reading = readEntry(
    "10.5.1.0-24",
    entry('{"PublicIP":"10.200.7.2","BackendType":"vxlan","BackendData":{"VtepMAC":"9a:77:00:00:00:01"}}'),
  );
  assert("lease" in reading);
  assertEquals(formatAddress(reading.lease.parts[0]!.underlayAddress), "10.200.7.2");
});

const written: [value: string, ages: Pick<Lease, "since" | "dataSince" | "addressSince">, why: string][] = [
  ["{}", { since: 5, dataSince: 9, addressSince: 9 }, "flanneld says nothing: it was last written then"],
  ['{"Data":5,"Address":8}', { since: 5, dataSince: 5, addressSince: 8 }, "the host says it"],
  ['{"Data":6}', { since: 5, dataSince: 6, addressSince: 9 }, "one of both is said"],
  ['{"Data":4,"Address":1}', { since: 5, dataSince: 9, addressSince: 9 }, "the key was not there yet"],
  ['{"Data":10}', { since: 5, dataSince: 9, addressSince: 9 }, "it was last written before"],
  ['{"Data":"5","Address":5.5}', { since: 5, dataSince: 9, addressSince: 9 }, "it is no number"],
  ['"5"', { since: 5, dataSince: 9, addressSince: 9 }, "it is nothing of the kind"],
];

for (const [said, ages, why] of written) {
  Deno.test(`readEntry() reads how old the claims of an entry are from ${said}, since ${why}`, () => {
    const value = `{"PublicIP":"1.2.3.4","BackendType":"vxlan","LodenSince":${said}}`;
    const reading = readEntry("10.5.1.0-24", { value, createRevision: 5, modRevision: 9 });
    assert("lease" in reading);
    const { since, dataSince, addressSince } = reading.lease;
    assertEquals([since, dataSince, addressSince], [ages.since, ages.dataSince, ages.addressSince]);
  });
}

const faults: [name: string, key: string, value: string, reason: string][] = [
  ["a key of something else", "notes", "{}", "its key is not that of a lease, as 10.5.1.0-24"],
  ["no JSON", "10.5.1.0-24", "{", 'its value must be JSON, is "{"'],
  ["nothing", "10.5.1.0-24", "", 'its value must be JSON, is ""'],
  [
    "a megabyte",
    "10.5.1.0-24",
    "x".repeat(1 << 20),
    "its value has 1048576 bytes, and at most 8192 are read",
  ],
  ["a list", "10.5.1.0-24", "[]", "its value is not that of a lease"],
  [
    "a number for a type",
    "10.5.1.0-24",
    '{"PublicIP":"1.2.3.4","BackendType":7}',
    "its value is not that of a lease: BackendType is not as it must be",
  ],
  ["no address", "10.5.1.0-24", "{}", "its PublicIP must be an IPv4 address, is missing"],
  [
    "shell for an address",
    "10.5.1.0-24",
    '{"PublicIP":"$(reboot)"}',
    'its PublicIP must be an IPv4 address, is "$(reboot)"',
  ],
  [
    "a value that would turn a terminal's text around",
    "10.5.1.0-24",
    "\u202e\u001b[31m\u2028",
    'its value must be JSON, is "\\u202e\\u001b[31m\\u2028"',
  ],
  [
    "one family of two",
    "10.5.1.0-24&fd00::-64",
    '{"PublicIP":"1.2.3.4"}',
    "its PublicIPv6 must be an IPv6 address, is missing",
  ],
];

for (const [name, key, value, reason] of faults) {
  Deno.test(`readEntry() finds the fault of an entry with ${name}`, () => {
    assertEquals(readEntry(key, entry(value)), { reason });
  });
}

/** What stands under a key that was written once. */
function entry(value: string): EtcdRecord {
  return { value, createRevision: 7, modRevision: 7 };
}

const hosts: [host: string, shown: string][] = [
  ["10.5.1.0-24&fd00:1:2:3::-64", "10.5.1.0-24&fd00:1:2:3::-64"],
  ["", '""'],
  ["a b", '"a b"'],
  ["\u202e\n", '"\\u202e\\n"'],
  ["x".repeat(81), `"${"x".repeat(79)}…`],
];

for (const [host, shown] of hosts) {
  Deno.test(`shownHost() shows the end of a key as ${shown}`, () => {
    assertEquals(shownHost(host), shown);
  });
}

Deno.test(`readEntry() makes a lease or names a short fault of anything in etcd, seed ${SEED}`, () => {
  const random = seededRandom(SEED);
  const pieces = [
    '{"PublicIP":',
    '"1.2.3.4"',
    "null",
    ',"PublicIPv6":',
    '"fd00::1"',
    ',"BackendType":',
    '"vxlan"',
    "}",
    "[",
    "9".repeat(400),
    '"`id`"',
    "\u0000",
    "\ud800",
  ];
  for (let round = 0; round < 5000; round++) {
    const value = Array.from({ length: Math.floor(random() * 9) }, () => pick(random, pieces)).join("");
    const key = pick(random, ["10.5.1.0-24", "10.5.1.0-24&fd00::-64", "&fd00::-64", value]);
    const reading = readEntry(key, entry(value));
    const isFine = "lease" in reading || /^[\x20-\x7e…]{1,200}$/.test(reading.reason);
    assert(isFine, `round ${round} of seed ${SEED}: ${value}`);
  }
});

/** What flanneld 0.28.10 has written for a host of both families. */
const FLANNELD_VALUE =
  '{"PublicIP":"192.0.2.1","PublicIPv6":"2001:db8::1","BackendType":"vxlan","BackendData":' +
  '{"VNI":1,"VtepMAC":"a2:15:b3:35:28:6c"},"BackendV6Data":{"VNI":1,"VtepMAC":"e2:5d:fb:04:ba:42"}}';

Deno.test("plainLeaseValue() makes of a lease of Loden's what flanneld itself would have written", () => {
  const parts = [["192.0.2.1", "a2:15:b3:35:28:6c"], ["2001:db8::1", "e2:5d:fb:04:ba:42"]] as const;
  const value = formatLeaseValue({
    backendType: "vxlan",
    origin: { machine: "1".repeat(32), mac: "52:54:00:00:00:01" },
    parts: parts.map(([address, VtepMAC]) => ({
      underlayAddress: parseAddress(address),
      backendData: { VNI: 1, VtepMAC },
    })),
  }, { a: 1 });
  assertEquals(value === FLANNELD_VALUE, false);
  assertEquals(plainLeaseValue(value), FLANNELD_VALUE);
  assertEquals(plainLeaseValue(FLANNELD_VALUE), undefined, "there is nothing of the kind in it");
});
