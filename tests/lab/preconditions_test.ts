import { assertEquals } from "@std/assert";
import { type Machine, missingPrecondition, parseCapabilities } from "../../src/lab/preconditions.ts";

/** A machine that a lab can be made on. */
const FIT: Machine = { capabilities: 0x1ffffffffffn, hasIp: true, hasPing: true };
/** What Docker leaves to root without `--privileged`. */
const DOCKER_CAPABILITIES = 0xa80425fbn;

const missing: [change: Partial<Machine>, message: string][] = [
  [
    { capabilities: 0n },
    "Cannot make network namespaces: this process lacks CAP_SYS_ADMIN or CAP_NET_ADMIN; run it as root, in a " +
    "container with --privileged",
  ],
  [{ hasIp: false }, "Cannot make network namespaces: ip is not installed; install iproute2"],
  [{ hasPing: false }, "Cannot measure the overlay: ping is not installed; install iputils-ping"],
];

for (const [change, message] of missing) {
  Deno.test(`missingPrecondition() says what to do: ${message}`, () => {
    assertEquals(missingPrecondition({ ...FIT, ...change }), message);
  });
}

Deno.test("missingPrecondition() wants capabilities, not the user root", () => {
  assertEquals(missingPrecondition(FIT), undefined);
  assertEquals(missingPrecondition({ ...FIT, capabilities: 1n << 12n | 1n << 21n }), undefined);
  assertEquals(missingPrecondition({ ...FIT, capabilities: DOCKER_CAPABILITIES }), missing[0]![1]);
});

Deno.test("parseCapabilities() reads CapEff of /proc/self/status", () => {
  const status = "Name:\tloden\nCapPrm:\t000001ffffffffff\nCapEff:\t00000000a80425fb\nCapBnd:\t0\n";
  assertEquals(parseCapabilities(status), DOCKER_CAPABILITIES);
  assertEquals(parseCapabilities("Name:\tloden\n"), 0n);
});
