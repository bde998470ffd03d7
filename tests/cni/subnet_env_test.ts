import { assertEquals, assertThrows } from "@std/assert";
import { CniError } from "../../src/cni/cni_error.ts";
import { checkSubnetEnv, readSubnetEnv } from "../../src/cni/subnet_env.ts";
import { formatPrefix } from "../../src/model/address.ts";

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
  ["FLANNEL_NETWORK=fc00::/48", "FLANNEL_NETWORK: fc00::/48 is of the other family"],
];
for (const [line, words] of refused) {
  Deno.test(`readSubnetEnv() refuses the line ${JSON.stringify(line)}, and says where it is`, () => {
    const error = assertThrows(() => readSubnetEnv(`${V4}${line}\n`, PATH), CniError);
    assertEquals(error.code, 100);
    assertEquals(error.message, `failed to load flannel 'subnet.env' file: ${PATH}: ${words}`);
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
