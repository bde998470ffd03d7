import { assertEquals, assertThrows } from "@std/assert";
import { AF_INET6, formatAddress } from "../../../src/model/address.ts";
import type { Underlay } from "../../../src/model/underlay.ts";
import { lostAddresses, withLost } from "../../../src/overlay/underlay/lost.ts";
import { UnderlayError } from "../../../src/overlay/underlay/underlay.ts";
import { type WhyUnfit, withoutUnfit } from "../../../src/overlay/underlay/unfit.ts";
import { underlay, underlayAddress } from "../backend/values.ts";

const FOUR = underlayAddress("192.0.2.1");
const SIX = underlayAddress("2001:db8::1");
const BOTH = underlay(FOUR, SIX);
const carriers = new Set([2]);
const noIpv6: WhyUnfit = (_, { family }) => family === AF_INET6 ? "it is too small" : undefined;

function said({ addresses, shortfalls, isShort }: Underlay): unknown[] {
  return [addresses.map(({ address }) => formatAddress(address)), shortfalls, isShort];
}

Deno.test("withoutUnfit() changes nothing of a choice on which all can be built", () => {
  const choice = withoutUnfit({ underlay: BOTH, stays: BOTH, carriers }, () => undefined);
  assertEquals([choice.underlay === BOTH, choice.stays === BOTH, choice.carriers === carriers], [
    true,
    true,
    true,
  ]);
});

Deno.test("withoutUnfit() makes a family a shortfall, also of what is in use", () => {
  const { underlay, stays } = withoutUnfit({ underlay: BOTH, stays: BOTH, carriers }, noIpv6);
  for (const choice of [underlay, stays!]) {
    assertEquals(said(choice), [["192.0.2.1"], ["it is too small"], true]);
  }
});

Deno.test("withoutUnfit() says why nothing is left", () => {
  assertThrows(
    () => withoutUnfit({ underlay: underlay(SIX), carriers }, noIpv6),
    UnderlayError,
    "Cannot build on eth0: it is too small",
  );
});

Deno.test("a family that is left out keeps its address for others, with the reason why it is left out", () => {
  const { underlay: chosen } = withoutUnfit({ underlay: BOTH, carriers }, noIpv6);
  const lost = lostAddresses(chosen, BOTH);
  assertEquals(said(withLost(chosen, lost)), [["192.0.2.1", "2001:db8::1"], ["it is too small"], true]);
  const gone = underlay(FOUR);
  assertEquals(said(withLost(gone, lostAddresses(gone, BOTH))), [
    ["192.0.2.1", "2001:db8::1"],
    ["link eth0 has lost 2001:db8::1"],
    undefined,
  ]);
});
