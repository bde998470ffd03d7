import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { CniError } from "../../src/pods/cni_error.ts";
import { checkSubnetEnv, formatSubnetEnv, namedSubnets, readSubnetEnv } from "../../src/pods/subnet_env.ts";
import {
  formatPrefix,
  type Ipv4,
  type Ipv6,
  maskAddress,
  parseAddress,
  parsePrefix,
} from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";

const PATH = "/run/flannel/subnet.env";
const NOTHING = { mtuBytes: undefined, isMasquerading: undefined };

function reading(text: string) {
  const { networks, subnets, ...others } = readSubnetEnv(text, PATH);
  return { networks: networks.map(formatPrefix), subnets: subnets.map(formatPrefix), ...others };
}

const USUAL = {
  networks: ["10.1.0.0/16"],
  subnets: ["10.1.17.0/24"],
  mtuBytes: 1472,
  isAgentMasquerading: true,
  backendType: undefined,
  delegateType: undefined,
};
const V4 = "FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_SUBNET=10.1.17.1/24\n";
const V6 = "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\n";
const REST = "FLANNEL_MTU=1472\nFLANNEL_IPMASQ=true\n";

const read: [text: string, expected: Partial<ReturnType<typeof reading>>, why: string][] = [
  [V4 + REST, {}, "IPv4 alone; host bits of the subnet are cleared"],
  [V6 + REST, { networks: ["fc00::/48"], subnets: ["fc00::/64"] }, "IPv6 alone"],
  [
    V6 + V4 + REST,
    { networks: ["10.1.0.0/16", "fc00::/48"], subnets: ["10.1.17.0/24", "fc00::/64"] },
    "both, IPv4 first",
  ],
  [V4.replaceAll("\n", "\r\n") + REST, {}, "lines of another system"],
  [`${V4}${REST}# a comment\nFOO=bar\nexport FLANNEL_MTU=1\n`, {}, "lines that are no keys of ours"],
  [V4 + REST + "FLANNEL_MTU=1400\n", { mtuBytes: 1400 }, "the last of two lines counts"],
  [
    (V4 + REST).replace("10.1.0.0/16", "10.1.0.0/16,192.168.5.0/16,10.1.3.0/16"),
    { networks: ["10.1.0.0/16", "192.168.0.0/16"] },
    "several networks, masked, each once",
  ],
  [V4 + REST.replace("true", "TRUE"), { isAgentMasquerading: false }, "only the very word is true"],
  [V4 + REST.replace("true", "true "), { isAgentMasquerading: false }, "nothing is trimmed"],
  [
    V4 + REST + "FLANNEL_BACKEND=vxlan\nFLANNEL_DELEGATE=ptp\n",
    { backendType: "vxlan", delegateType: "ptp" },
    "our own keys",
  ],
  [V4 + REST + "FLANNEL_BACKEND=\n", {}, "an empty value is none"],
  [V4 + REST + "FLANNEL_BACKEND\nFLANNEL_DELEGATE\n", {}, "flannel's plugin skips what it does not know"],
  [V4 + REST.replaceAll("\n", "\r\n").slice(0, -1), {}, "the last line ends with a carriage return alone"],
  [V4.replace("10.1.17.1/24", "fc00::1/64") + REST, { subnets: ["fc00::/64"] }, "a prefix of either family"],
  [V4.replace("10.1.0.0/16", "fc00::/48") + REST, { networks: ["fc00::/48"] }, "a prefix of either family"],
  [V4.replace("/24", "/024") + REST, {}, "zeros before a length"],
  [V4 + REST.replace("1472", "00000000001472"), {}, "zeros before a number"],
  [V4.replace("10.1.17.1/24", "::ffff:10.1.17.1/120") + REST, {}, "an IPv4 address inside an IPv6 one"],
  [
    V4 + "FLANNEL_MTU=4294967295\nFLANNEL_IPMASQ=true\n",
    { mtuBytes: 4294967295 },
    "flannel's largest number",
  ],
];
for (const [text, expected, why] of read) {
  Deno.test(`readSubnetEnv() reads ${JSON.stringify(text)}: ${why}`, () => {
    assertEquals(reading(text), { ...USUAL, ...expected });
  });
}

const refused: [line: string, words: string][] = [
  ["FLANNEL_MTU", 'line "FLANNEL_MTU" has no "="'],
  ["FLANNEL_MTU=", 'FLANNEL_MTU: "" is no number of bytes'],
  ["FLANNEL_MTU=1450 ", 'FLANNEL_MTU: "1450 " is no number of bytes'],
  ["FLANNEL_MTU=-1", 'FLANNEL_MTU: "-1" is no number of bytes'],
  ["FLANNEL_MTU=4294967296", 'FLANNEL_MTU: "4294967296" is no number of bytes'],
  ["FLANNEL_SUBNET=10.1.17.1", "FLANNEL_SUBNET: invalid CIDR address: 10.1.17.1"],
  ["FLANNEL_NETWORK=10.1.0.0/16 ", "FLANNEL_NETWORK: invalid CIDR address: 10.1.0.0/16 "],
  ["FLANNEL_NETWORK=10.1.0.0/33", "FLANNEL_NETWORK: invalid CIDR address: 10.1.0.0/33"],
  ["FLANNEL_NETWORK=", "FLANNEL_NETWORK: invalid CIDR address: "],
  ["FLANNEL_NETWORK=10.1.0.0/16,", "FLANNEL_NETWORK: invalid CIDR address: "],
  ["FLANNEL_SUBNET=10.1.1.1/24,10.1.2.1/24", "FLANNEL_SUBNET: invalid CIDR address: 10.1.1.1/24,10.1.2.1/24"],
  ["FLANNEL_SUBNET=x\nFLANNEL_SUBNET=10.1.1.1/24", "FLANNEL_SUBNET: invalid CIDR address: x"],
  ["FLANNEL_MTU=1e400", 'FLANNEL_MTU: "1e400" is no number of bytes'],
];
for (const [line, words] of refused) {
  Deno.test(`readSubnetEnv() refuses the line ${JSON.stringify(line)}, and says where it is`, () => {
    const error = assertThrows(() => readSubnetEnv(`${V4}${line}\n`, PATH), CniError);
    assertEquals(error.code, 100);
    assertEquals(error.message, `failed to load flannel 'subnet.env' file: ${PATH}: ${words}`);
  });
}

const hints: [line: string, details: RegExp][] = [
  ['FLANNEL_SUBNET="10.1.17.1/24"', /^it is in quotes, which are no part of a value here; /],
  ["FLANNEL_MTU='1450'", /^it is in quotes, /],
  ["FLANNEL_MTU= 1450", /^it has a blank beside it, /],
  ["FLANNEL_MTU=x", /^the agent on this host writes this file; /],
];
for (const [line, details] of hints) {
  Deno.test(`readSubnetEnv() that refuses the line ${JSON.stringify(line)} says what to look at`, () => {
    assertMatch(assertThrows(() => readSubnetEnv(`${V4}${line}\n`, PATH), CniError).details!, details);
  });
}

const missing: [text: string, names: string, given: Partial<typeof NOTHING> | { mtuBytes: number }][] = [
  [
    "foo=bar\n",
    "FLANNEL_NETWORK, FLANNEL_IPV6_NETWORK, FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET, FLANNEL_MTU, FLANNEL_IPMASQ",
    {},
  ],
  [V4, "FLANNEL_MTU, FLANNEL_IPMASQ", {}],
  [V4, "FLANNEL_IPMASQ", { mtuBytes: 1400 }],
  [REST + "FLANNEL_NETWORK=10.1.0.0/16\n", "FLANNEL_SUBNET, FLANNEL_IPV6_SUBNET", {}],
];
for (const [text, names, given] of missing) {
  Deno.test(`checkSubnetEnv() names what ${JSON.stringify(text)} is missing, in flannel's order`, () => {
    const error = assertThrows(
      () => checkSubnetEnv(readSubnetEnv(text, PATH), PATH, { ...NOTHING, ...given }),
      CniError,
    );
    assertEquals(error.message, `failed to load flannel 'subnet.env' file: ${PATH} is missing ${names}`);
  });
}

Deno.test("checkSubnetEnv() lets a network of one family pass with a subnet of the other, as flannel does", () => {
  const text = `FLANNEL_NETWORK=10.1.0.0/16\nFLANNEL_IPV6_SUBNET=fc00::1/64\n${REST}`;
  checkSubnetEnv(readSubnetEnv(text, PATH), PATH, NOTHING);
  assertEquals(reading(text).subnets, ["fc00::/64"]);
});

function lease(...subnets: string[]): Lease {
  const parts = subnets.map((subnet) => ({
    subnet: parsePrefix(subnet),
    underlayAddress: parseAddress(subnet.includes(":") ? "2001:db8::1" : "192.0.2.1"),
    backendData: {},
  }));
  return { host: "192.0.2.1", backendType: "vxlan", parts };
}

// `flanneld` at cdf76059 wrote all lines but the last (spec, section 4.1).
const formatted: [
  networks: string[],
  subnets: string[],
  masquerade: boolean,
  lines: string[],
  why: string,
][] = [
  [["10.244.0.0/16"], ["10.244.1.0/24"], true, [
    "FLANNEL_NETWORK=10.244.0.0/16",
    "FLANNEL_SUBNET=10.244.1.1/24",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=true",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv4 alone"],
  [["2001:cafe:42::/56"], ["2001:cafe:42::/64"], false, [
    "FLANNEL_IPV6_NETWORK=2001:cafe:42::/56",
    "FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=false",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv6 alone"],
  [["2001:cafe:42::/56", "10.244.0.0/16"], ["2001:cafe:42:1::/64", "10.244.255.0/24"], true, [
    "FLANNEL_NETWORK=10.244.0.0/16",
    "FLANNEL_SUBNET=10.244.255.1/24",
    "FLANNEL_IPV6_NETWORK=2001:cafe:42::/56",
    "FLANNEL_IPV6_SUBNET=2001:cafe:42:1::1/64",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=true",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv4 comes first, whatever the order was"],
];

for (const [networks, subnets, masquerade, lines, why] of formatted) {
  Deno.test(`formatSubnetEnv() writes flannel's lines and the backend: ${why}`, () => {
    const content = {
      networks: networks.map(parsePrefix),
      lease: lease(...subnets),
      mtuBytes: 1450,
      masquerade,
    };
    assertEquals(formatSubnetEnv(content), `${lines.join("\n")}\n`);
  });
}

const NAMED: readonly [text: string, why: string][] = [
  ["FLANNEL_SUBNET=10.244.1.1/24\n", "host bits are cleared"],
  ["FLANNEL_SUBNET=10.244.1.1/24\r\n", "lines may end as on Windows"],
  ["FLANNEL_SUBNET=10.244.1.1/24", "the last line may lack its end"],
  ['  export FLANNEL_SUBNET = "10.244.1.1/24"  # mine\n', "shells write it so"],
  ["FLANNEL_SUBNET='10.244.1.1/24'\n", "single quotes are quotes"],
  ["FLANNEL_SUBNET: 10.244.1.1/24 # mine\n", "a colon separates as well"],
  ["#FLANNEL_SUBNET=10.9.9.1/24\nFLANNEL_SUBNET=10.244.1.1/24\n", "a comment is none"],
  ["FLANNEL_SUBNET=10.9.9.1/24\nFLANNEL_SUBNET=10.244.1.1/24\n", "the last of two lines counts"],
  ["FLANNEL_SUBNET=junk,10.244.1.1/24,10.300.0.1/24\n", "one of a list is valid"],
];

const NAMELESS: readonly [text: string, why: string][] = [
  ["", "an empty file says nothing"],
  ["\0\xff{}\n===\nFLANNEL_SUBNET\n=x\n", "junk says nothing"],
  ["FLANNEL_SUBNET=10.244.1.1/24,10.244.2.1/24\n", "two of a list are valid: neither is meant"],
  ["FLANNEL_SUBNET=fd00::1/64\nFLANNEL_IPV6_SUBNET=10.244.1.1/24\n", "families are mixed up"],
  ["FLANNEL_SUBNET=10.244.1.1\n", "there is no length"],
  ["FLANNEL_SUBNET=$SUBNET\n", "variables are not expanded"],
  [`FLANNEL_SUBNET=10.244.1.1/24\n${"#".repeat(70_000)}`, "a file this large is something else"],
];

for (const [cases, subnets] of [[NAMED, ["10.244.1.0/24"]], [NAMELESS, []]] as const) {
  for (const [text, why] of cases) {
    Deno.test(`namedSubnets() reads ${JSON.stringify(text.slice(0, 60))}: ${why}`, () => {
      assertEquals(namedSubnets(text).map(formatPrefix), [...subnets]);
    });
  }
}

Deno.test("readSubnetEnv() and namedSubnets() read what formatSubnetEnv() writes", () => {
  const ipv4 = fc.integer({ min: 0, max: 0xffff_ff00 }).map((address) => prefix(address as Ipv4, 24));
  const ipv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 256n }).map((address) => prefix(address as Ipv6, 64));
  fc.assert(
    fc.property(
      ipv4,
      ipv6,
      fc.integer({ min: 0, max: 65_535 }),
      fc.boolean(),
      (a, b, mtuBytes, masquerade) => {
        const held = { host: "a", backendType: "vxlan", parts: [part(a), part(b)] };
        const text = formatSubnetEnv({ networks: [a, b], lease: held, mtuBytes, masquerade });
        const subnets = [a, b];
        assertEquals(namedSubnets(text), subnets);
        assertEquals(readSubnetEnv(text, PATH), {
          networks: [a, b],
          subnets,
          mtuBytes,
          isAgentMasquerading: masquerade,
          backendType: "vxlan",
          delegateType: undefined,
        });
      },
    ),
  );
});

function prefix(address: Ipv4 | Ipv6, length: number) {
  return { address: maskAddress(address, length), length };
}

function part(subnet: ReturnType<typeof prefix>) {
  return { subnet, underlayAddress: subnet.address, backendData: null };
}

Deno.test("namedSubnets() never throws", () => {
  const line = fc.tuple(
    fc.constantFrom("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET", "FLANNEL_MTU", "export FLANNEL_NETWORK"),
    fc.constantFrom("=", ":", "", " = ", '="'),
    fc.string(),
  ).map((fields) => fields.join(""));
  fc.assert(fc.property(fc.array(fc.oneof(line, fc.string())), (lines) => {
    namedSubnets(lines.join("\n"));
  }));
});

Deno.test("namedSubnets() takes no time to speak of for a line that was made to take long", () => {
  const startedMs = performance.now();
  namedSubnets(`FLANNEL_SUBNET=${" ".repeat(30_000)}x${" ".repeat(30_000)}y`);
  namedSubnets(`FLANNEL_SUBNET="${" #".repeat(30_000)}`);
  assert(performance.now() - startedMs < 2000);
});
