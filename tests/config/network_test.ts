import { assertEquals, assertThrows } from "@std/assert";
import { BACKEND_TYPES } from "../../src/config/backend_types.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { type NetworkConfig, parseNetworkConfig } from "../../src/config/network.ts";
import {
  AF_INET,
  AF_INET6,
  formatAddress,
  formatPrefix,
  parsePrefix,
  type Prefix,
} from "../../src/model/address.ts";

const source = "net-conf.json";

function read(file: unknown): NetworkConfig {
  return parseNetworkConfig(JSON.stringify(file), { source }).config;
}

/** Each family in a line. */
function show({ families }: NetworkConfig): string[] {
  return families.map(({ network, subnetLength, subnetMin, subnetMax }) =>
    `${formatPrefix(network)} /${subnetLength} ${formatAddress(subnetMin)} ${formatAddress(subnetMax)}`
  );
}

const Network = "10.244.0.0/16";
const DUAL = { Network, EnableIPv6: true, IPv6Network: "fd00:10:244::/48" };

/** As messages list them. */
const TYPES = BACKEND_TYPES.join(", ");

Deno.test("parseNetworkConfig() reads the file of kube-flannel.yml", () => {
  const text = `{
    "Network": "10.244.0.0/16",
    "EnableNFTables": false,
    "Backend": {
      "Type": "vxlan"
    }
  }`;
  const { config, warnings } = parseNetworkConfig(text, { source });
  assertEquals(show(config), ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"]);
  assertEquals(config.backend, {
    type: "vxlan",
    vni: 1,
    port: 8472,
    mtuBytes: undefined,
    gbp: false,
    learning: false,
    directRouting: false,
  });
  assertEquals(warnings, []);
});

const networks: [file: unknown, families: string[], why: string][] = [
  [{ Network: "10.3.7.9/16" }, ["10.3.0.0/16 /24 10.3.1.0 10.3.255.0"], "host bits are cleared"],
  [{ network: Network }, ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"], "keys are read in any case"],
  [
    { Network: "10.1.0.0/16", NETWORK: Network },
    ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"],
    "the last wins",
  ],
  [
    { Network: "::ffff:10.3.0.0/112", SubnetMin: "::ffff:10.3.5.0" },
    ["10.3.0.0/16 /24 10.3.5.0 10.3.255.0"],
    "Go",
  ],
  [
    { Network, SubnetLen: null, Backend: undefined },
    ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"],
    "null is absent",
  ],
  [DUAL, [
    "10.244.0.0/16 /24 10.244.1.0 10.244.255.0",
    "fd00:10:244::/48 /64 fd00:10:244:1:: fd00:10:244:ffff::",
  ], "IPv4 comes first"],
  [
    { ...DUAL, EnableIPv4: false },
    ["fd00:10:244::/48 /64 fd00:10:244:1:: fd00:10:244:ffff::"],
    "IPv4 is off",
  ],
  [{ ...DUAL, EnableIPv6: false }, ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"], "IPv6 is off"],
  [{
    ...DUAL,
    EnableIPv4: false,
    IPv6SubnetLen: 80,
    IPv6SubnetMin: "fd00:10:244::",
    IPv6SubnetMax: "fd00:10:244:0:9::",
  }, [
    "fd00:10:244::/48 /80 fd00:10:244:: fd00:10:244:0:9::",
  ], "IPv6 has bounds of its own"],
  [
    { Network, Subnets: 3, "": 1, Extra: { Network: 1 } },
    ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"],
    "unknown",
  ],
];

for (const [file, families, why] of networks) {
  Deno.test(`parseNetworkConfig() reads ${JSON.stringify(file)}: ${why}`, () => {
    assertEquals(show(read(file)), families);
  });
}

const backends: [keys: object, read: Partial<NetworkConfig["backend"]>, why: string][] = [
  [{ Type: "VXLAN" }, { type: "vxlan" }, "the type is read in any case"],
  [{ Type: "vxlan", vni: 42, PORT: 4789 }, { vni: 42, port: 4789 }, "keys are read in any case"],
  [{ Type: "vxlan", Port: 0, MTU: 0 }, { port: 8472, mtuBytes: undefined }, "zero is the default"],
  [
    { Type: "vxlan", VNI: 16777215, Port: 65535, MTU: 65535 },
    { vni: 16777215, port: 65535, mtuBytes: 65535 },
    "top",
  ],
  [{ Type: "vxlan", MTU: 576 }, { mtuBytes: 576 }, "every host takes that"],
  [{ Type: "vxlan", GBP: true, Learning: true, DirectRouting: true }, {
    gbp: true,
    learning: true,
    directRouting: true,
  }, "all three are on"],
  [{ Type: "vxlan", MacPrefix: "0E-2A" }, { macPrefix: 0x0e2a }, "it is how Windows has it"],
  [{ Type: "vxlan", MacPrefix: "0e:2a" }, { macPrefix: 0x0e2a }, "it is how Linux has it"],
  [{ Type: "auto", VNI: 9 }, { type: "auto", vni: 9, directRouting: true }, "it is vxlan where it must be"],
  [{ Type: "Host-GW" }, { type: "host-gw", mtuBytes: undefined }, "there is nothing to say"],
  [{ Type: "host-gw", MTU: 1400 }, { mtuBytes: 1400 }, "pods may be told another MTU than the link's"],
  [{ Type: "alloc" }, { type: "alloc" }, "other software connects the hosts"],
];

for (const [Backend, expected, why] of backends) {
  Deno.test(`parseNetworkConfig() reads Backend ${JSON.stringify(Backend)}: ${why}`, () => {
    const { backend } = read({ Network, Backend });
    for (const [key, value] of Object.entries(expected)) {
      assertEquals(backend[key as keyof typeof backend] as unknown, value);
    }
  });
}

const refused: [file: unknown, faults: string[], why: string][] = [
  [{}, ["Network: is missing, and EnableIPv4 is not false"], "IPv4 is on without a word"],
  [{ Network: null }, ["Network: is missing, and EnableIPv4 is not false"], "null is absent"],
  [{ Network, EnableIPv6: true }, ["IPv6Network: is missing, and EnableIPv6 is true"], "IPv6 has none"],
  [{ Network, EnableIPv4: false }, ["EnableIPv4: must be true unless EnableIPv6 is"], "no family is left"],
  [[], [": must be a JSON object, is []"], "a list is no object"],
  [null, [": must be a JSON object, is null"], "nothing is no object"],
  [{ Network: "10.0.0.0" }, [
    'Network: must be an IPv4 prefix as 10.244.0.0/16, is "10.0.0.0"; the prefix length is missing',
  ], "it is an address"],
  [{ Network: "fd00::1/48" }, [
    'Network: must be an IPv4 prefix as 10.244.0.0/16, is "fd00::1/48"; write it as IPv6Network: "fd00::/48"',
  ], "it is IPv6"],
  [{ ...DUAL, IPv6Network: Network }, [
    `IPv6Network: must be an IPv6 prefix as fd00:10:244::/48, is "${Network}"; write it as Network: "${Network}"`,
  ], "it is IPv4, of which flannel makes nonsense"],
  [{ Network: 5 }, ["Network: must be an IPv4 prefix as 10.244.0.0/16, is 5"], "it is a number"],
  [{ Network, SubnetLen: -1 }, ["SubnetLen: must be 0 to 30, is -1"], "it is negative"],
  [{ Network, SubnetLen: "24" }, ['SubnetLen: must be a number, 0 to 30, is "24"'], "it is text"],
  [{ Network, SubnetLen: 24.5 }, ["SubnetLen: must be 0 to 30, is 24.5"], "it is no integer"],
  [
    { Network, SubnetLen: 17 },
    ["SubnetLen: must be 18 to 30 in 10.244.0.0/16, is 17"],
    "two subnets are few",
  ],
  [
    { Network, SubnetMin: "10.1" },
    ['SubnetMin: must be an IPv4 address, is "10.1"'],
    "two octets are missing",
  ],
  [{ Network, SubnetMin: "10.244.9.0", SubnetMax: "10.244.8.0" }, [
    "SubnetMin: must not be above the last subnet, 10.244.8.0, is 10.244.9.0",
  ], "no subnet is left"],
  [
    { ...DUAL, IPv6SubnetMin: "fd01::" },
    ["IPv6SubnetMin: must lie in fd00:10:244::/48, is fd01::"],
    "it is outside",
  ],
  [{ Network, EnableNFTables: "yes" }, ['EnableNFTables: must be true or false, is "yes"'], "it is text"],
  [
    { Network, Backend: {} },
    [`Backend.Type: is missing; it must be one of ${TYPES}`],
    "flannel exits on it too",
  ],
  [
    { Network, Backend: null },
    [`Backend.Type: is missing; it must be one of ${TYPES}`],
    "null is an empty object",
  ],
  [{ Network, Backend: "vxlan" }, ['Backend: must be an object, is "vxlan"'], "it is the type alone"],
  [{ Network, Backend: { Type: 1 } }, ["Backend.Type: must be text, is 1"], "it is a number"],
  [{ Network, Backend: { Type: "WireGuard", VNI: -1 } }, [
    `Backend.Type: backend "wireguard" is not in this version; use ${TYPES}`,
  ], "it comes later, and its keys are not judged"],
  [{ Network, Backend: { Type: "gce" } }, [
    `Backend.Type: backend "gce" of flannel is not in Loden; use ${TYPES}`,
  ], "flannel itself dropped it"],
  [
    { Network, Backend: { Type: "vxlam" } },
    [`Backend.Type: must be one of ${TYPES}, is "vxlam"`],
    "it is nobody's",
  ],
  [{ Network, Backend: { Type: "constructor" } }, [
    `Backend.Type: must be one of ${TYPES}, is "constructor"`,
  ], "an object has more names than ours"],
  [{ Network, Backend: { Type: "vxlan", VNI: 99999999 } }, [
    "Backend.VNI: must be 1 to 16777215, is 99999999",
  ], "a VNI has 24 bits"],
  [
    { Network, Backend: { Type: "vxlan", VNI: 0 } },
    ["Backend.VNI: must be 1 to 16777215, is 0"],
    "zero is none",
  ],
  [
    { Network, Backend: { Type: "vxlan", Port: 65536 } },
    ["Backend.Port: must be 0 to 65535, is 65536"],
    "too high",
  ],
  [
    { Network, Backend: { Type: "vxlan", MTU: 575 } },
    ["Backend.MTU: must be 0 or 576 to 65535, is 575"],
    "RFC 791",
  ],
  [{ ...DUAL, Backend: { Type: "host-gw", MTU: 1279 } }, [
    "Backend.MTU: must be 0 or 1280 to 65535 (an IPv6 overlay needs them), is 1279",
  ], "nothing is around the packets of pods"],
  [{ Network, Backend: { Type: "auto", DirectRouting: false } }, [
    "Backend.DirectRouting: must be true, is false; without it auto is vxlan",
  ], "it says the opposite"],
  [{ Network, MasqueradeExclude: "10.0.0.0/8" }, [
    'MasqueradeExclude: must be a list of prefixes, is "10.0.0.0/8"',
  ], "one prefix is no list"],
  [{ Network, MasqueradeExclude: ["10.0.0.0/8", "10.1.2.3/16", "172.16.0.0", 7] }, [
    'MasqueradeExclude.1: must be a prefix as 192.0.2.0/24, is "10.1.2.3/16"; write "10.1.0.0/16"',
    'MasqueradeExclude.2: must be a prefix as 192.0.2.0/24, is "172.16.0.0"; the prefix length is missing',
    "MasqueradeExclude.3: must be a prefix as 192.0.2.0/24, is 7",
  ], "each prefix is judged"],
  [{ Network, MasqueradeExclude: Array(257).fill("10.0.0.0/8") }, [
    "MasqueradeExclude: must be at most 256 prefixes",
  ], "each costs something"],
  [{ ...DUAL, Backend: { Type: "vxlan", MTU: 1349 } }, [
    "Backend.MTU: must be 0 or 1350 to 65535 (an IPv6 overlay needs them), is 1349",
  ], "pods need 1280 of it for IPv6"],
  [{ Network, Backend: { Type: "vxlan", MacPrefix: "01-00" } }, [
    'Backend.MacPrefix: must be two hexadecimal octets of a unicast MAC as 0e-2a, is "01-00"',
  ], "it is multicast"],
  [{ Network, Backend: { Type: "vxlan", MacPrefix: "0e2a" } }, [
    'Backend.MacPrefix: must be two hexadecimal octets of a unicast MAC as 0e-2a, is "0e2a"',
  ], "nothing parts the octets"],
  [{ Network, SubnetLen: 31 }, ["SubnetLen: must be 18 to 30 in 10.244.0.0/16, is 31"], "a /31 has no room"],
  [
    { ...DUAL, IPv6SubnetLen: 127 },
    ["IPv6SubnetLen: must be 50 to 126 in fd00:10:244::/48, is 127"],
    "nor has a /127",
  ],
  [{ Network, SubnetLen: -1, EnableIPv4: 1, Backend: { Type: "vxlan", GBP: 1 } }, [
    "EnableIPv4: must be true or false, is 1",
    "SubnetLen: must be 0 to 30, is -1",
    "Backend.GBP: must be true or false, is 1",
  ], "all faults are told at once"],
  [{ Netwrok: Network }, [
    "Network: is missing, and EnableIPv4 is not false",
    "Netwrok: is not a key; did you mean Network?",
  ], "the missing key was mistyped"],
];

for (const [file, faults, why] of refused) {
  Deno.test(`parseNetworkConfig() refuses ${JSON.stringify(file)} because ${why}`, () => {
    const error = assertThrows(() => read(file), ConfigError);
    assertEquals(error.faults.map(({ path, message }) => `${path}: ${message}`), faults);
    assertEquals(error.faults.every(({ where }) => where === source), true);
  });
}

Deno.test("parseNetworkConfig() says one fault in one line, and several in a list", () => {
  assertThrows(() => read({}), ConfigError, "net-conf.json: Network: is missing");
  assertEquals(assertThrows(() => read({}), ConfigError).message.includes("\n"), false);
  assertEquals(
    assertThrows(() => read({ Network, SubnetLen: -1, Backend: {} }), ConfigError).message,
    "2 faults:\n  net-conf.json: SubnetLen: must be 0 to 30, is -1\n" +
      `  net-conf.json: Backend.Type: is missing; it must be one of ${TYPES}`,
  );
});

const unused: [file: object, families: string[], why: string][] = [
  [{ Network, IPv6SubnetLen: 127 }, ["10.244.0.0/16 /24 10.244.1.0 10.244.255.0"], "IPv6 is off"],
  [{ Network, IPv6SubnetLen: 200, IPv6Network: "fd00::/126", IPv6SubnetMin: "fd01::" }, [
    "10.244.0.0/16 /24 10.244.1.0 10.244.255.0",
  ], "IPv6 is off"],
  [{ ...DUAL, EnableIPv4: false, SubnetLen: 99, SubnetMin: "192.0.2.1" }, [
    "fd00:10:244::/48 /64 fd00:10:244:1:: fd00:10:244:ffff::",
  ], "IPv4 is off"],
];

for (const [file, families, why] of unused) {
  Deno.test(`parseNetworkConfig() reads ${JSON.stringify(file)} without a word: ${why}`, () => {
    const { config, warnings } = parseNetworkConfig(JSON.stringify(file), { source });
    assertEquals([show(config), warnings], [families, []]);
  });
}

/** What flannel takes with Kubernetes, where it checks none of these. */
const given: [file: object, families: string[], unused: string[]][] = [
  [{ Network: "10.244.0.0/23", SubnetLen: 24 }, ["10.244.0.0/23 /24 10.244.0.0 10.244.1.0"], [
    "SubnetLen: must be 25 to 30 in 10.244.0.0/23, is 24",
  ]],
  [{ Network: "10.244.0.0/24", SubnetLen: 24 }, ["10.244.0.0/24 /24 10.244.0.0 10.244.0.0"], [
    "SubnetLen: must be 26 to 30 in 10.244.0.0/24, is 24",
  ]],
  [{ Network: "10.244.0.0/29" }, ["10.244.0.0/29 /31 10.244.0.0 10.244.0.6"], [
    "Network: must be /28 or shorter to hold four subnets, is 10.244.0.0/29",
  ]],
  [{ Network: "10.244.0.0/31" }, ["10.244.0.0/31 /31 10.244.0.0 10.244.0.0"], [
    "Network: must be /28 or shorter to hold four subnets, is 10.244.0.0/31",
  ]],
  [{ Network, SubnetLen: 8 }, ["10.244.0.0/16 /16 10.244.0.0 10.244.0.0"], [
    "SubnetLen: must be 18 to 30 in 10.244.0.0/16, is 8",
  ]],
  [{ Network, SubnetMin: "10.244.1.5" }, ["10.244.0.0/16 /24 10.244.0.0 10.244.255.0"], [
    "SubnetMin: must be where a /24 begins, as 10.244.1.0, is 10.244.1.5",
  ]],
  [{ Network, SubnetMin: "10.1.0.0", SubnetMax: "10.9.0.1" }, ["10.244.0.0/16 /24 10.244.0.0 10.244.255.0"], [
    "SubnetMin: must lie in 10.244.0.0/16, is 10.1.0.0",
    "SubnetMax: must lie in 10.244.0.0/16, is 10.9.0.1",
  ]],
  [{ ...DUAL, IPv6Network: "fd00::/112", IPv6SubnetLen: 112 }, [
    "10.244.0.0/16 /24 10.244.1.0 10.244.255.0",
    "fd00::/112 /112 fd00:: fd00::",
  ], ["IPv6SubnetLen: must be 114 to 126 in fd00::/112, is 112"]],
  [{ Network, SubnetMin: "10.244.8.0" }, ["10.244.0.0/16 /24 10.244.8.0 10.244.255.0"], []],
];

for (const [file, families, unused] of given) {
  Deno.test(`parseNetworkConfig() takes ${JSON.stringify(file)} where nodes have podCIDRs, and else refuses what is wrong`, () => {
    const text = JSON.stringify(file);
    const { config, warnings } = parseNetworkConfig(text, { source, areSubnetsGiven: true });
    assertEquals(show(config), families);
    assertEquals(
      warnings,
      unused.map((fault) => {
        const [key, ...message] = fault.split(": ");
        return `${source}: ${key} counts for nothing, as each node's podCIDR is its subnet; in etcd it ${
          message.join(": ")
        }`;
      }),
    );
    if (unused.length === 0) return;
    const { faults } = assertThrows(() => parseNetworkConfig(text, { source }), ConfigError);
    assertEquals(faults.map(({ path, message }) => `${path}: ${message}`), unused);
  });
}

Deno.test("parseNetworkConfig() refuses a network that no pod can have addresses of, also where nodes have podCIDRs", () => {
  for (const network of ["0.0.0.0/0", "127.0.0.0/16", "224.0.0.0/8"]) {
    const text = JSON.stringify({ Network: network });
    assertThrows(() => parseNetworkConfig(text, { source, areSubnetsGiven: true }), ConfigError);
  }
});

const malformed: [text: string, message: string, why: string][] = [
  [
    '{\n  "Network": "10.244.0.0/16",\n}',
    "/etc/n.json: line 3 column 1: expected a key in double quotes",
    "a comma",
  ],
  ["", "/etc/n.json: line 1 column 1: expected a value, but the text ends", "it is empty"],
  [`{"a":"${"x".repeat(65536)}"}`, "/etc/n.json: must be at most 65536 bytes, is 65544", "it is large"],
  [
    `{"a":"${"\u20ac".repeat(30000)}"}`,
    "must be at most 65536 bytes, is 90008",
    "bytes count, not characters",
  ],
];

for (const [text, message, why] of malformed) {
  Deno.test(`parseNetworkConfig() refuses ${JSON.stringify(text.slice(0, 30))} because of ${why}`, () => {
    assertThrows(() => parseNetworkConfig(text, { source: "/etc/n.json" }), ConfigError, message);
  });
}

Deno.test("parseNetworkConfig() takes a byte order mark, as editors on Windows write it", () => {
  const { config } = parseNetworkConfig(`\ufeff{"Network":"${Network}"}`, { source });
  assertEquals(config.families.map(({ family }) => family), [AF_INET]);
});

Deno.test("parseNetworkConfig() warns of keys that look mistyped, and of no others", () => {
  const file = {
    ...DUAL,
    SubnetLenght: 24,
    Comment: "hello",
    Backend: { Type: "vxlan", Prot: 1, ListenPort: 5 },
  };
  const { config, warnings } = parseNetworkConfig(JSON.stringify(file), { source });
  assertEquals(config.families.map(({ family }) => family), [AF_INET, AF_INET6]);
  assertEquals(warnings, [
    "net-conf.json: SubnetLenght is ignored: did you mean SubnetLen?",
    "net-conf.json: Backend.Prot is ignored: did you mean Port?",
  ]);
});

Deno.test("parseNetworkConfig() warns of keys that only another backend has", () => {
  const file = { Network, Backend: { Type: "host-gw", VNI: 1, directrouting: true, Comment: "hello" } };
  const { warnings, origins } = parseNetworkConfig(JSON.stringify(file), { source });
  assertEquals(warnings, [
    "net-conf.json: Backend.VNI is ignored: backend host-gw has no such key",
    "net-conf.json: Backend.directrouting is ignored: backend host-gw has no such key",
  ]);
  assertEquals([...origins], [["MTU", "default"]]);
});

Deno.test("parseNetworkConfig() reads what is not masqueraded from the file, unless a flag says it", () => {
  const text = JSON.stringify({ Network, masqueradeExclude: ["10.0.0.0/8", "fd00::/8"] });
  const excluded = (masqueradeExclude?: readonly Prefix[]) =>
    parseNetworkConfig(text, { source, masqueradeExclude }).config.masqueradeExclude.map(formatPrefix);
  assertEquals(excluded(), ["10.0.0.0/8", "fd00::/8"]);
  assertEquals(excluded([parsePrefix("192.0.2.0/24")]), ["192.0.2.0/24"]);
  assertEquals(excluded([]), []);
});
