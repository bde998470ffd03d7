import { assertEquals } from "@std/assert";
import { bridgeAction, wayOutAction } from "../../../src/agent/plan/actions.ts";
import { changeText } from "../../../src/model/host_plan.ts";

const ofBridge: [action: string, text: string][] = [
  ["add address 10.244.1.1/24 to cni0", "+ address 10.244.1.1/24 dev cni0"],
  ["remove address 10.244.9.1/24 from cni0", "- address 10.244.9.1/24 dev cni0"],
  ["set cni0 up", "~ link cni0 state down -> up"],
];

for (const [action, text] of ofBridge) {
  Deno.test(`bridgeAction() says "${text}"`, () => assertEquals(changeText(bridgeAction(action)!), text));
}

Deno.test("bridgeAction() says nothing of a MAC that stays the same", () => {
  assertEquals(bridgeAction("fix the MAC of cni0"), undefined);
});

const ofWayOut: [action: string, text: string][] = [
  ["add rule from 10.244.1.0/24 lookup 7676", "+ rule from 10.244.1.0/24 lookup 7676"],
  ["delete rule from 10.244.1.0/24 lookup 7676", "- rule from 10.244.1.0/24 lookup 7676"],
  ["add route 10.0.0.0/16 via 10.0.1.1", "+ route 10.0.0.0/16 via 10.0.1.1 table 7676"],
  ["add address 10.0.1.7/24 to eth1", "+ address 10.0.1.7/24 dev eth1"],
];

for (const [action, text] of ofWayOut) {
  Deno.test(`wayOutAction() says "${text}"`, () =>
    assertEquals(changeText(wayOutAction(7676)(action)!), text));
}
