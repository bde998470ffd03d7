import { assertEquals, assertThrows } from "@std/assert";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { defaultNetworkConfig, underlayPlacements } from "../../src/lab/plan.ts";
import { AF_INET, AF_INET6, type Family, formatAddress, formatPrefix } from "../../src/model/address.ts";

const places: [number: number, isRouted: boolean, expected: string[]][] = [
  [1, false, ["192.0.2.1/24 via 192.0.2.254", "2001:db8::1/64 via 2001:db8::fe"]],
  [253, false, ["192.0.2.253/24 via 192.0.2.254", "2001:db8::fd/64 via 2001:db8::fe"]],
  [3, true, ["198.18.3.2/24 via 198.18.3.1", "2001:db8:3::2/64 via 2001:db8:3::1"]],
];

for (const [number, isRouted, expected] of places) {
  Deno.test(`underlayPlacements() puts host ${number} at ${expected.join(" and ")}`, () => {
    const placements = underlayPlacements(number, { isRouted, families: [AF_INET, AF_INET6] });
    const texts = placements.map(({ address, length, gateway }) =>
      `${formatAddress(address)}/${length} via ${formatAddress(gateway)}`
    );
    assertEquals(texts, expected);
  });
}

Deno.test("underlayPlacements() refuses hosts that a segment has no address for", () => {
  const kind = { isRouted: false, families: [AF_INET] as const };
  for (const number of [0, 254]) assertThrows(() => underlayPlacements(number, kind), RangeError);
});

const configs: [families: Family[], networks: string[]][] = [
  [[AF_INET], ["10.244.0.0/16"]],
  [[AF_INET6], ["fd00:10:244::/56"]],
  [[AF_INET, AF_INET6], ["10.244.0.0/16", "fd00:10:244::/56"]],
];

for (const [families, networks] of configs) {
  Deno.test(`defaultNetworkConfig() makes a file that an agent reads as ${networks.join(" and ")}`, () => {
    const { config, warnings } = parseNetworkConfig(JSON.stringify(defaultNetworkConfig(families)), {
      source: "lab",
    });
    assertEquals(warnings, []);
    assertEquals(config.families.map(({ network }) => formatPrefix(network)), networks);
  });
}
