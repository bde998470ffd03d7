import { assertEquals } from "@std/assert";
import { AF_INET, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { concerning, leadsToMain, type OverlayScope } from "../../src/reconcile/rule_scope.ts";
import type { ObservedRule } from "../../src/rtnetlink/rule.ts";

const scope: OverlayScope = {
  networks: [parsePrefix("10.244.0.0/16")],
  links: ["flannel.1", "cni0", "eth0"],
  underlay: [parseAddress("192.0.2.1"), parseAddress("192.0.2.2")],
};

function rule(changes: Partial<ObservedRule> = {}): ObservedRule {
  return {
    family: AF_INET,
    priority: 100,
    action: 1,
    table: 100,
    protocol: 0,
    isInverted: false,
    isNarrower: false,
    ...changes,
  };
}

const KERNELS = [
  rule({ priority: 0, table: 255 }),
  rule({ priority: 32_766, table: 254 }),
  rule({ priority: 32_767, table: 253 }),
];

const CASES: readonly [name: string, changes: Partial<ObservedRule>, isConcerning: boolean][] = [
  ["for all packets", {}, true],
  ["that drops all", { action: 6, table: 0 }, true],
  ["into main", { table: 254, inputLink: "cni0" }, false],
  ["into main, but for short prefixes", { table: 254, suppressedLength: 0 }, false],
  ["into local, somewhere else", { table: 255 }, true],
  ["to the cluster network", { destination: parsePrefix("10.0.0.0/8") }, true],
  ["to a part of it", { destination: parsePrefix("10.244.7.0/25") }, true],
  ["to other networks", { destination: parsePrefix("198.51.100.0/24") }, false],
  ["to a peer in the underlay", { destination: parsePrefix("192.0.2.2/32") }, true],
  ["from another address of the host", { source: parsePrefix("198.51.100.7/32") }, false],
  ["from pods", { source: parsePrefix("10.244.1.0/24") }, true],
  ["by the bridge", { inputLink: "cni0" }, true],
  ["of this host's own", { inputLink: "lo" }, true],
  ["by another link", { inputLink: "eth7" }, false],
  ["of sockets on a link", { outputLink: "eth0" }, false],
  ["with a mark", { mark: 1 }, false],
  ["without one bit of the mark", { mark: 0, markMask: 0x4000 }, true],
  ["not with a mark", { mark: 0xca6c, isInverted: true }, true],
  ["for one port", { isNarrower: true }, true],
  ["of a VRF", { table: 0, isOfVrf: true, isNarrower: true }, false],
];

for (const [name, changes, expected] of CASES) {
  Deno.test(`a rule ${name} ${expected ? "may be" : "is not"} about packets of the overlay`, () => {
    const one = rule(changes);
    assertEquals(concerning([...KERNELS, one], scope), expected ? [one] : []);
  });
}

Deno.test("main is reached by the kernel's rule, or another without a condition", () => {
  assertEquals(leadsToMain(KERNELS), true);
  assertEquals(leadsToMain([rule({ table: 254 })]), true);
  assertEquals(
    leadsToMain([rule({ table: 254, mark: 1 }), rule({ table: 254, suppressedLength: 0 })]),
    false,
  );
});

Deno.test("of very many rules all are looked at", () => {
  const many = Array.from({ length: 300 }, () => rule({ mark: 1 }));
  assertEquals(concerning(many, scope).length, 300);
});
