import { assertEquals } from "@std/assert";
import {
  type Candidate,
  type Claimant,
  isHeldBy,
  isOrphan,
  ownClaims,
  type Proof,
} from "../../src/registry/own_lease.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Origin } from "../../src/model/lease.ts";
import { lease } from "./local/local_world.ts";

const MACHINE = "1".repeat(32);
const OTHER_MACHINE = "2".repeat(32);
const MAC = "52:54:00:00:00:01";
const OTHER_MAC = "52:54:00:00:00:02";
const DATA = { VNI: 1, VtepMAC: "0e:2a:00:00:00:01" };
const HERE = "192.0.2.1";
const ELSEWHERE = "192.0.2.99";

/** A host that was restarted: it knows its machine, its MAC, its subnet and its link. */
const CLAIMANT: Claimant = {
  origin: { machine: MACHINE, mac: MAC, name: "node1" },
  parts: [{ underlayAddress: parseAddress(HERE), backendData: DATA }],
  tokens: new Set(["7"]),
  rememberedToken: "6",
  previousSubnets: [parsePrefix("10.5.1.0/24")],
};

function candidate(
  address: string,
  origin?: Origin,
  changes: { token?: string; subnet?: string; data?: unknown } = {},
): Candidate {
  const { token, subnet = "10.5.9.0/24", data = { VNI: 1, VtepMAC: "0e:2a:00:00:00:63" } } = changes;
  const held = lease("x", subnet, address);
  return {
    lease: { ...held, parts: [{ ...held.parts[0]!, backendData: data }], ...origin && { origin } },
    ...token && { token },
  };
}

const verdicts: [candidate: Candidate, verdict: `${Proof}${"" | ", in doubt"}` | undefined, why: string][] = [
  [candidate(ELSEWHERE, undefined, { token: "7" }), "token", "it has what this process was given"],
  [
    candidate(ELSEWHERE, { machine: OTHER_MACHINE }, { token: "7" }),
    "token",
    "no other host can have that, be the value as it may",
  ],
  [candidate(ELSEWHERE, undefined, { token: "8" }), undefined, "another's token proves nothing"],
  [
    candidate(ELSEWHERE, undefined, { subnet: "10.5.1.0/24", data: DATA }),
    "links",
    "flanneld wrote it, before the address changed",
  ],
  [
    candidate(ELSEWHERE, undefined, { subnet: "10.5.1.0/24" }),
    undefined,
    "the subnet file alone is no proof",
  ],
  [candidate(ELSEWHERE, undefined, { data: DATA }), undefined, "a MAC alone is no proof"],
  [
    candidate(ELSEWHERE, undefined, { subnet: "10.5.1.0/24", data: null }),
    undefined,
    "a backend without data proves nothing",
  ],
  [
    candidate(ELSEWHERE, { machine: MACHINE, mac: OTHER_MAC }, { subnet: "10.5.1.0/24", data: DATA }),
    "links, in doubt",
    "link and file may have been copied",
  ],
  [
    candidate(ELSEWHERE, { machine: OTHER_MACHINE, mac: OTHER_MAC }, { token: "6" }),
    undefined,
    "a file that names another machine's token was copied, or edited",
  ],
  [
    candidate(ELSEWHERE, { machine: MACHINE, mac: OTHER_MAC }, { token: "6" }),
    "token",
    "the process before this one had it, on this machine",
  ],
  [
    candidate(ELSEWHERE, { machine: MACHINE, mac: OTHER_MAC, name: "node2" }),
    undefined,
    "a clone has the machine's id, and a name of its own",
  ],
  [candidate(HERE), "address", "flanneld goes by that, and nothing else is known"],
  [
    candidate(HERE, { machine: OTHER_MACHINE, mac: MAC }),
    undefined,
    "another machine had the address before",
  ],
  [candidate(HERE, { machine: OTHER_MACHINE }), undefined, "likewise, without a MAC"],
  [candidate(HERE, { machine: MACHINE, mac: MAC }), "mac", "the host has booted, and all is as before"],
  [
    candidate(HERE, { machine: MACHINE, mac: OTHER_MAC }),
    "address, in doubt",
    "it may be a clone with the same address",
  ],
  [candidate(HERE, { mac: OTHER_MAC }), "address, in doubt", "of two hosts at one address, one is a twin"],
  [
    candidate(ELSEWHERE, { machine: MACHINE, mac: MAC }),
    "mac, in doubt",
    "the host has booted, and has another address",
  ],
  [
    candidate(ELSEWHERE, { machine: MACHINE, mac: OTHER_MAC }),
    "machine, in doubt",
    "the host has booted, with another MAC and address",
  ],
  [candidate(ELSEWHERE, { machine: OTHER_MACHINE }), undefined, "it is a stranger's"],
  [candidate(ELSEWHERE), undefined, "it is a flanneld's elsewhere"],
];

for (const [one, verdict, why] of verdicts) {
  Deno.test(`ownClaims() says ${verdict ?? "that a lease is not this host's"}: ${why}`, () => {
    const [claim] = ownClaims([one], CLAIMANT);
    assertEquals(claim && `${claim.proof}${claim.isDoubtful ? ", in doubt" : ""}`, verdict);
  });
}

Deno.test("ownClaims() has the best proof first: hosts that swapped their addresses find their own", () => {
  const own = candidate(ELSEWHERE, CLAIMANT.origin, { token: "7" });
  const atOldAddress = candidate(HERE);
  assertEquals(ownClaims([atOldAddress, own], CLAIMANT).map(({ proof }) => proof), ["token", "address"]);
});

Deno.test("ownClaims() does not go by a machine id that several have: they are clones", () => {
  const [a, b] = [OTHER_MAC, "52:54:00:00:00:03"].map((mac) =>
    candidate(ELSEWHERE, { machine: MACHINE, mac })
  );
  assertEquals(ownClaims([a!], CLAIMANT).length, 1);
  assertEquals(ownClaims([a!, b!], CLAIMANT), []);
});

Deno.test("ownClaims() goes by names where the registry makes them of addresses", () => {
  const named = { ...CLAIMANT, name: "x" };
  assertEquals(ownClaims([candidate(ELSEWHERE)], named).map(({ proof }) => proof), ["address"]);
  assertEquals(ownClaims([candidate(HERE)], { ...CLAIMANT, name: HERE }), []);
});

const holders: [address: string, origin: Origin | undefined, isHeld: boolean, why: string][] = [
  [ELSEWHERE, { machine: MACHINE, mac: MAC }, true, "it has one of its MACs"],
  [HERE, { machine: MACHINE, mac: OTHER_MAC }, false, "it has a clone's MAC, whatever its address"],
  [HERE, { machine: OTHER_MACHINE, mac: MAC }, false, "it is of another machine"],
  [HERE, undefined, true, "it has its address, and does not say more"],
  [HERE, { machine: MACHINE }, true, "it has its address, and does not say which MAC"],
  [ELSEWHERE, { machine: MACHINE }, false, "a machine id alone may be a clone's"],
  [ELSEWHERE, undefined, false, "it is a flanneld's elsewhere"],
];
for (const [address, origin, isHeld, why] of holders) {
  Deno.test(`isHeldBy() tells ${isHeld ? "a lease of a host" : "another's lease"}: ${why}`, () => {
    const host = { machine: MACHINE, macs: new Set([MAC]), addresses: new Set([parseAddress(HERE)]) };
    assertEquals(isHeldBy(candidate(address, origin).lease, host), isHeld);
  });
}

Deno.test("isOrphan() gives up what is this host's for certain, and what is as good as the lease in use", () => {
  const [token, address] = ownClaims(
    [candidate(ELSEWHERE, undefined, { token: "7" }), candidate(HERE)],
    CLAIMANT,
  );
  assertEquals(isOrphan(address!, token), false, "the address may have been another host's before");
  assertEquals(isOrphan(address!, address), true);
  assertEquals(isOrphan(token!, address), true);
});
