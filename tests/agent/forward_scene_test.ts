import { assertEquals } from "@std/assert";
import { forwardScene } from "../../src/agent/forward_scene.ts";
import { AF_INET, formatAddress, formatPrefix, parseAddress, parsePrefix } from "../../src/model/address.ts";
import { ROUTE } from "../../src/model/rows.ts";
import { Table } from "../../src/model/table.ts";
import type { Wanted } from "../../src/reconcile/wanted.ts";

const LINKS = [{ name: "flannel.1", linkIndex: 8 }, { name: "eth0", linkIndex: 2 }, {
  name: "cni0",
  linkIndex: 7,
}];
const KERNEL = {
  link: (name: string) => LINKS.find((one) => one.name === name),
  nameOf: (linkIndex: number) => LINKS.find((one) => one.linkIndex === linkIndex)?.name,
  isGatewayOn: (_: unknown, linkIndex: number) => linkIndex === 7,
};
const BLACKHOLE = 6;
const UNICAST = 1;

/** Routes as a pass wants them: a subnet, the slot of its link, and its type. */
function wantedOf(...rows: readonly (readonly [subnet: string, slot: number, type?: number])[]): Wanted {
  const routes = new Table(ROUTE);
  for (const [text, slot, type = UNICAST] of rows) {
    const { address, length } = parsePrefix(text);
    const at = routes.push();
    routes.words[at + ROUTE.family] = AF_INET;
    routes.words[at + ROUTE.destination] = address as number;
    routes.words[at + ROUTE.length] = length;
    routes.words[at + ROUTE.slot] = slot;
    routes.words[at + ROUTE.traits] = type << 16;
  }
  const networks = [parsePrefix("10.244.0.0/16")];
  return {
    state: {
      routes,
      networks,
      links: [
        {
          kind: "vxlan",
          name: "flannel.1",
          port: 8472,
          local: parseAddress("192.0.2.1"),
          underlayLinkIndex: 2,
        },
        { kind: "underlay", name: "eth0" },
      ],
    },
    ownSubnets: [parsePrefix("10.244.1.0/24")],
    hostOf: () => "h",
  } as unknown as Wanted;
}

Deno.test("forwardScene() puts peers behind one link together, and leaves out what is no peer's", () => {
  const wanted = wantedOf(["10.244.2.0/24", 0], ["10.244.3.0/24", 1], ["10.244.0.0/16", 0, BLACKHOLE], [
    "10.244.4.0/24",
    0,
  ]);
  const scene = forwardScene(wanted, "cni0", KERNEL)!;
  assertEquals(
    scene.groups().map(({ own, link, subnets, carriedBy: by }) =>
      `${own.link.name} ${formatPrefix(own.prefix)}, ${link.name}: ${subnets.map(formatPrefix).join(" ")}${
        by ? ` in packets for ${formatAddress(by.local)} port ${by.port} by ${by.link?.name}` : ""
      }`
    ),
    [
      "cni0 10.244.1.0/24, flannel.1: 10.244.2.0/24 10.244.4.0/24 in packets for 192.0.2.1 port 8472 by eth0",
      "cni0 10.244.1.0/24, eth0: 10.244.3.0/24",
    ],
  );
});

Deno.test("forwardScene() knows nothing while nothing is wanted, or pods are on no bridge", () => {
  assertEquals(forwardScene(undefined, "cni0", KERNEL), undefined);
  assertEquals(forwardScene(wantedOf(), undefined, KERNEL), undefined);
  assertEquals(forwardScene(wantedOf(), "cni1", KERNEL), undefined);
  assertEquals(forwardScene(wantedOf(), "eth0", KERNEL), undefined, "a link that has no gateway of pods");
});
