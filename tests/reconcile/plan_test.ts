import { assertEquals } from "@std/assert";
import { type Mac, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { ObservedAddress, ObservedLink, ObservedVxlan, VxlanLink } from "../../src/model/state.ts";
import { describeLinkStep, type LinkStep, planLinks } from "../../src/reconcile/plan.ts";
import { desired, OWN, OWN6, UNDERLAY, VTEP, VTEP6 } from "./desired.ts";

const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const ETH0: ObservedLink = {
  linkIndex: 2,
  name: "eth0",
  isUp: true,
  mtuBytes: 1500,
  mac: undefined,
  kind: "veth",
  vxlan: undefined,
};

/** The link as the kernel has it once it is settled, but for what differs. */
function observed(link: VxlanLink, vxlan: Partial<ObservedVxlan> = {}, rest: Partial<ObservedLink> = {}) {
  const { name, mtuBytes, mac, vni, port, local, underlayLinkIndex, learning, gbp } = link;
  return {
    linkIndex: 7,
    name,
    isUp: true,
    mtuBytes,
    mac,
    kind: "vxlan",
    vxlan: { vni, port, local, underlayLinkIndex, learning, gbp, isForeign: false, ...vxlan },
    ...rest,
  } satisfies ObservedLink;
}

function address(text: string, scope = RT_SCOPE_UNIVERSE, linkIndex = 7): ObservedAddress {
  const [host, length] = text.split("/");
  const parsed = parseAddress(host!);
  const family = typeof parsed === "number" ? 2 : 10;
  return { linkIndex, family, address: parsed, length: Number(length), scope, flags: 0x80 };
}

/** Steps as a person reads them, with what was found. */
function said(steps: readonly LinkStep[]): string[] {
  return steps.map((step) => describeLinkStep(step) + ("why" in step ? `: ${step.why}` : ""));
}

const linkCases: {
  readonly why: string;
  readonly link?: VxlanLink;
  readonly found: ObservedLink | undefined;
  /** The own address where absent. */
  readonly addresses?: readonly ObservedAddress[];
  readonly steps: readonly string[];
}[] = [
  { why: "all is as it must be", found: observed(VTEP), steps: [] },
  {
    why: "there is no link: the address comes behind it",
    found: undefined,
    addresses: [],
    steps: ["create link flannel.1", "add address 10.244.1.0/32 on flannel.1"],
  },
  {
    why: "it was made a port of a bridge",
    found: observed(VTEP, {}, { masterIndex: 9, masterName: "br0" }),
    steps: ["change link flannel.1: enslaved to br0"],
  },
  {
    why: "it is in a bond or VRF whose name nobody knows, and down since",
    found: observed(VTEP6, {}, { masterIndex: 9, isUp: false }),
    link: VTEP6,
    addresses: [address("fd00:10:244:1::/128")],
    steps: ["change link flannel-v6.1: down, enslaved to link 9"],
  },
  {
    why: "the VNI of a link cannot be changed in place",
    found: observed(VTEP, { vni: 99 }),
    steps: [
      "delete link flannel.1: its VNI is 99, not 1",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "the port of a link cannot be changed in place",
    found: observed(VTEP, { port: 4789 }),
    steps: [
      "delete link flannel.1: its port is 4789, not 8472",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "the group policy extension cannot be switched off in place",
    found: observed(VTEP, { gbp: true }),
    steps: [
      "delete link flannel.1: its group policy extension is on",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "the group policy extension cannot be switched on in place",
    link: { ...VTEP, gbp: true },
    found: observed(VTEP),
    steps: [
      "delete link flannel.1: its group policy extension is off",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "it was made for other purposes",
    found: observed(VTEP, { isForeign: true }),
    steps: [
      "delete link flannel.1: it has a multicast group, a default remote or a miss handler",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "the outer packets are of the other family",
    found: observed(VTEP, { local: parseAddress("2001:db8::1") }),
    steps: [
      "delete link flannel.1: its local address 2001:db8::1 is of the other family",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "it is a bridge of our name",
    found: observed(VTEP, {}, { kind: "bridge", vxlan: undefined as never }),
    steps: [
      "delete link flannel.1: it is a bridge link, not vxlan",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "it is hardware that was given our name",
    found: observed(VTEP, {}, { kind: undefined as never, vxlan: undefined as never }),
    steps: [
      "delete link flannel.1: it is a hardware link, not vxlan",
      "create link flannel.1",
      "add address 10.244.1.0/32 on flannel.1",
    ],
  },
  {
    why: "the local address can be changed under traffic",
    found: observed(VTEP, { local: parseAddress("192.0.2.99") }),
    steps: ["repair link flannel.1: local address 192.0.2.99"],
  },
  {
    why: "a link without a local address, as an old flannel made it, gets one",
    found: observed(VTEP, { local: undefined as never }),
    steps: ["repair link flannel.1: local address none"],
  },
  {
    why: "the underlay link can be changed under traffic",
    found: observed(VTEP, { underlayLinkIndex: 3 }),
    steps: ["repair link flannel.1: underlay link index 3"],
  },
  {
    why: "learning can be switched under traffic",
    found: observed(VTEP, { learning: true }),
    steps: ["repair link flannel.1: learning true"],
  },
  {
    why: "one request mends all that is wrong with a VXLAN",
    found: observed(VTEP, { learning: true, underlayLinkIndex: 3, local: parseAddress("192.0.2.99") }),
    steps: ["repair link flannel.1: local address 192.0.2.99, underlay link index 3, learning true"],
  },
  {
    why: "the MTU was changed",
    found: observed(VTEP, {}, { mtuBytes: 1280 }),
    steps: ["change link flannel.1: MTU 1280"],
  },
  {
    why: "the MAC was changed",
    found: observed(VTEP, {}, { mac: 0x0e2a00000099 as Mac }),
    steps: ["change link flannel.1: MAC 0e:2a:00:00:00:99"],
  },
  {
    why: "the link has no MAC",
    found: observed(VTEP, {}, { mac: undefined as never }),
    steps: ["change link flannel.1: MAC none"],
  },
  {
    why: "one request mends all that is wrong with a link",
    found: observed(VTEP, {}, { mtuBytes: 1280, mac: 0x0e2a00000099 as Mac, isUp: false }),
    steps: ["change link flannel.1: MTU 1280, MAC 0e:2a:00:00:00:99, down"],
  },
  {
    why: "the address is there before the link is up, so that no packet leaves with another source",
    found: observed(VTEP, { learning: true }, { isUp: false }),
    addresses: [],
    steps: [
      "repair link flannel.1: learning true",
      "add address 10.244.1.0/32 on flannel.1",
      "change link flannel.1: down",
    ],
  },
  {
    why: "an address out of the cluster network would be a source that nobody answers",
    found: observed(VTEP),
    addresses: [address(OWN), address("10.244.77.0/32")],
    steps: ["delete address 10.244.77.0/32 on flannel.1"],
  },
  {
    why: "the own address of another length brings a route with it",
    found: observed(VTEP),
    addresses: [address("10.244.1.0/24")],
    steps: ["add address 10.244.1.0/32 on flannel.1", "delete address 10.244.1.0/24 on flannel.1"],
  },
  {
    why: "a DHCP client's address brings a source and a route that nobody wants",
    found: observed(VTEP),
    addresses: [address(OWN), address("203.0.113.9/24")],
    steps: ["delete address 203.0.113.9/24 on flannel.1"],
  },
  {
    why: "what is on another link proves nothing and is nobody's business here",
    found: observed(VTEP),
    addresses: [address(OWN, RT_SCOPE_UNIVERSE, 8), address("10.244.77.0/32", RT_SCOPE_UNIVERSE, 8)],
    steps: ["add address 10.244.1.0/32 on flannel.1"],
  },
  {
    why: "a link-local IPv6 address is the kernel's",
    link: VTEP6,
    found: observed(VTEP6),
    addresses: [address(OWN6), address("fe80::1/64", RT_SCOPE_LINK)],
    steps: [],
  },
  {
    why: "any other IPv6 address could be chosen as the source",
    link: VTEP6,
    found: observed(VTEP6),
    addresses: [address(OWN6), address("2001:db8:77::1/64")],
    steps: ["delete address 2001:db8:77::1/64 on flannel-v6.1"],
  },
];

for (const { why, link = VTEP, found, addresses, steps } of linkCases) {
  const own = link === VTEP6 ? OWN6 : OWN;
  const name = steps.length === 0 ? "nothing" : `"${steps.join(", ")}"`;
  Deno.test(`planLinks() plans ${name}, since ${why}`, () => {
    const plan = planLinks(desired(link, own), [found, ETH0], addresses ?? [address(own)]);
    assertEquals(said(plan), [...steps]);
  });
}

Deno.test("planLinks() says in each step what the kernel must be told", () => {
  const found = observed(VTEP, { local: parseAddress("192.0.2.99") }, { mtuBytes: 1280, isUp: false });
  assertEquals(planLinks(desired(VTEP, OWN), [found, ETH0], [address(OWN)]), [
    { kind: "repair vxlan", linkIndex: 7, link: VTEP, why: "local address 192.0.2.99" },
    {
      kind: "change link",
      linkIndex: 7,
      name: "flannel.1",
      change: { mtuBytes: 1450, isUp: true },
      why: "MTU 1280, down",
    },
  ]);
});

const underlays: [found: ObservedLink | undefined, steps: string[], why: string][] = [
  [ETH0, [], "it is there, with any addresses"],
  [{ ...ETH0, isUp: false }, ["route over link eth0: it is down"], "it is not ours to set up"],
  [undefined, ["route over link eth0: it does not exist"], "it is not ours to make"],
];

for (const [found, steps, why] of underlays) {
  Deno.test(`planLinks() ${steps.length === 0 ? "leaves the underlay alone" : "needs the underlay"}: ${why}`, () => {
    const state = { ...desired(VTEP, OWN), links: [UNDERLAY], addresses: [] };
    const foreign = address("10.244.77.0/32", RT_SCOPE_UNIVERSE, 2);
    assertEquals(said(planLinks(state, [found], [foreign])), steps);
  });
}

const linkSteps: [step: LinkStep, text: string][] = [
  [{ kind: "create link", link: VTEP }, "create link flannel.1"],
  [{ kind: "delete link", linkIndex: 7, name: "flannel.1", why: "it is" }, "delete link flannel.1"],
  [{ kind: "need link", name: "eth0", why: "it is down" }, "route over link eth0"],
  [{ kind: "repair vxlan", linkIndex: 7, link: VTEP, why: "it drifted" }, "repair link flannel.1"],
  [
    { kind: "change link", linkIndex: 7, name: "flannel.1", change: { isUp: true }, why: "down" },
    "change link flannel.1",
  ],
  [
    { kind: "add address", name: "flannel.1", prefix: parsePrefix(OWN) },
    "add address 10.244.1.0/32 on flannel.1",
  ],
  [
    { kind: "delete address", name: "flannel-v6.1", prefix: parsePrefix(OWN6) },
    "delete address fd00:10:244:1::/128 on flannel-v6.1",
  ],
];

for (const [step, text] of linkSteps) {
  Deno.test(`describeLinkStep() says "${text}"`, () => assertEquals(describeLinkStep(step), text));
}
