import { assertEquals, assertStringIncludes } from "@std/assert";
import * as told from "../../src/agent/bridge_conditions.ts";
import type { Condition, ConditionCode } from "../../src/model/condition.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { ObservedLink } from "../../src/model/state.ts";

const BRIDGE = { name: "cni0", kind: "bridge", linkIndex: 7 } as ObservedLink;
const OWN = parsePrefix("10.244.5.0/24");
const GATEWAY = { address: parseAddress("10.244.5.1"), length: 24 };
const OTHER = { address: parseAddress("10.244.9.1"), length: 24 };
const WHOSE = "which Loden did not give it";

const cases: [condition: Condition, code: ConditionCode, ...words: string[]][] = [
  [
    told.notABridge("cni0", { ...BRIDGE, kind: "veth" }),
    "bridge-replaced",
    "of the kind veth and no bridge",
    "remove it",
  ],
  [
    told.notGiven(BRIDGE, { own: [OWN], steps: [{ kind: "add", ...GATEWAY }], fault: "EPERM" }),
    "bridge-refused",
    "EPERM",
    'run "ip address replace 10.244.5.1/24 dev cni0"',
  ],
  [told.takenAway(BRIDGE, GATEWAY), "bridge-robbed", 'run "ip address replace 10.244.5.1/24 dev cni0"'],
  [
    told.isDown(BRIDGE, "and could not be set up: EPERM", [GATEWAY]),
    "bridge-down",
    'run "ip link set cni0 up; ip address replace 10.244.5.1/24 dev cni0"',
  ],
  [
    told.isBefore(BRIDGE, { found: OTHER, gateway: GATEWAY }, WHOSE),
    "bridge-address-first",
    `10.244.9.1/24, ${WHOSE}, before or instead of 10.244.5.1/24`,
    'run "ip address del 10.244.9.1/24 dev cni0"',
  ],
  [
    told.isShadow(BRIDGE, { found: OTHER, subnet: parsePrefix("10.244.9.0/24") }, WHOSE),
    "bridge-address-shadows",
    "10.244.9.0/24 is another host's",
    'run "ip address del 10.244.9.1/24 dev cni0"',
  ],
  [told.isBehind(BRIDGE, OTHER, WHOSE), "bridge-address-old", 'run "ip address del 10.244.9.1/24 dev cni0"'],
  [
    told.haveLargeMtu(1, 1250),
    "pods-with-large-mtu",
    "1 pod was started with an MTU above 1250",
    "re-create it",
  ],
  [told.haveLargeMtu(2, 1250), "pods-with-large-mtu", "2 pods were started", "re-create them"],
  [told.isUnreadable("cni0", "EPERM"), "bridge-unreadable", "the bridge cni0 can't be looked at: EPERM"],
];

for (const [{ code, sentence }, expected, ...words] of cases) {
  Deno.test(`${expected}: "${sentence}"`, () => {
    assertEquals(code, expected);
    for (const word of words) assertStringIncludes(sentence, word);
  });
}
