import { assertEquals } from "@std/assert";
import { chooseInterface } from "../../../src/cloud/aws/choose_interface.ts";
import type { AttachedInterface } from "../../../src/cloud/aws/metadata.ts";
import type { EniChoice } from "../../../src/config/aws_schema.ts";
import { type Mac, parseAddress } from "../../../src/model/address.ts";

function attached(id: string, deviceIndex: number, ...addresses: string[]): AttachedInterface {
  return {
    ...{ id, deviceIndex, mac: deviceIndex as Mac, subnetId: "subnet-1", vpcId: "vpc-1" },
    addresses: addresses.map(parseAddress),
    ...{ subnetPrefixes: [], vpcPrefixes: [], securityGroupIds: [] },
  };
}

const INSTANCE = {
  region: "eu-west-1",
  instanceId: "i-1",
  interfaces: [attached("eni-a", 0, "10.0.0.4", "2001:db8::4"), attached("eni-b", 1, "10.0.1.4", "10.0.1.5")],
};
const HAS = "it has eni-a (device 0), eni-b (device 1)";

type Choice = Exclude<EniChoice, { readonly kind: "managed" }>;

const cases: readonly [choice: Choice, underlay: string[], tagged: string[], chosen: string, why: string][] =
  [
    [{ kind: "auto" }, ["10.0.0.4"], [], "eni-a", "it has the underlay's address"],
    [{ kind: "auto" }, ["10.0.1.5"], [], "eni-b", "a secondary address is one too"],
    [{ kind: "auto" }, ["2001:db8:0::4"], [], "eni-a", "of IPv6 as well"],
    [{ kind: "auto" }, ["10.0.0.4", "2001:db8::4"], [], "eni-a", "both are on it"],
    [
      { kind: "auto" },
      ["10.9.0.1"],
      [],
      `no network interface of i-1 has the address 10.9.0.1 of the underlay; ${HAS}`,
      "none",
    ],
    [
      { kind: "auto" },
      ["10.0.1.4", "2001:db8::4"],
      [],
      "more than one network interface of i-1 has the address 10.0.1.4 or 2001:db8::4 of the underlay: eni-a, eni-b; name one",
      "the families are on two",
    ],
    [{ kind: "id", id: "eni-b" }, [], [], "eni-b", "it is named"],
    [{ kind: "id", id: "eni-c" }, [], [], `no network interface of i-1 is eni-c; ${HAS}`, "it is another's"],
    [{ kind: "device-index", deviceIndex: 1 }, [], [], "eni-b", "it is the second"],
    [
      { kind: "device-index", deviceIndex: 2 },
      [],
      [],
      `no network interface of i-1 has device index 2; ${HAS}`,
      "no third",
    ],
    [{ kind: "tag", key: "pods", value: "yes" }, [], ["eni-b"], "eni-b", "EC2 says that it has the tag"],
    [
      { kind: "tag", key: "pods", value: "" },
      [],
      [],
      `no network interface of i-1 has the tag pods=; ${HAS}`,
      "none has",
    ],
    [
      { kind: "tag", key: "pods", value: "yes" },
      [],
      ["eni-a", "eni-b"],
      "more than one network interface of i-1 has the tag pods=yes: eni-a, eni-b; name one",
      "both have",
    ],
  ];

for (const [choice, underlay, tagged, chosen, why] of cases) {
  Deno.test(`chooseInterface() finds "${chosen}" for ${JSON.stringify(choice)}: ${why}`, () => {
    const found = chooseInterface(INSTANCE, choice, { underlay: underlay.map(parseAddress), tagged });
    assertEquals(typeof found === "string" ? found : found.id, chosen);
  });
}
