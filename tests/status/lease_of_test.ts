import { assertEquals, assertRejects } from "@std/assert";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import { answerLeaseOf, type LeaseOf } from "../../src/status/lease_of.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { OWN, pass, READY } from "./facts.ts";

function leaseOf(host: string, subnet: string, changes: Partial<Lease> = {}): Lease {
  return {
    host,
    backendType: "vxlan",
    parts: [{
      subnet: parsePrefix(subnet),
      underlayAddress: parseAddress("192.0.2.2"),
      backendData: { VtepMAC: "0E:2A:00:00:00:02" },
    }],
    ...changes,
  };
}

async function ask(
  address: string,
  leases: readonly Lease[] | undefined,
  facts: Partial<StatusDeps> = {},
): Promise<{ readonly known: boolean; readonly lease: LeaseOf | null }> {
  const overlay = {
    backend: "vxlan",
    carriage: "tunnel",
    leaseType: "vxlan",
    mtuBytes: 1450,
    leases,
  } as const;
  const deps = { ...READY, ownLease: () => OWN, overlay: () => overlay, ...facts };
  return await answerLeaseOf(deps, new URLSearchParams({ address }));
}

Deno.test("answerLeaseOf() tells who has a pod's address, and who a host's own", async () => {
  const leases = [OWN, leaseOf("h2", "10.244.2.0/24")];
  const { known, lease } = await ask("10.244.2.5", leases);
  assertEquals([known, lease], [true, {
    host: "h2",
    isOwn: false,
    what: "subnet",
    subnet: "10.244.2.0/24",
    underlayAddress: "192.0.2.2",
    backendType: "vxlan",
    mac: "0e:2a:00:00:00:02",
    leftOut: null,
    probes: null,
  }]);
  assertEquals((await ask("192.0.2.2", leases)).lease?.what, "underlay");
  assertEquals((await ask("10.244.1.5", leases)).lease?.isOwn, true);
  assertEquals(await ask("10.244.9.5", leases), { known: true, lease: null });
  assertEquals(await ask("10.244.2.5", undefined), { known: false, lease: null });
});

Deno.test("answerLeaseOf() believes nothing that another host says to be what it is not", async () => {
  const hostile = leaseOf("h2\u0007\n", "10.244.2.0/24", {
    parts: [{
      subnet: parsePrefix("10.244.2.0/24"),
      underlayAddress: parseAddress("192.0.2.2"),
      backendData: { VtepMAC: ["0e:2a:00:00:00:02"] },
    }],
  });
  const { lease } = await ask("10.244.2.5", [hostile]);
  assertEquals([lease?.mac, lease?.host.includes("\n")], [null, false]);
  await assertRejects(() => ask("x", []), SyntaxError);
});

Deno.test("answerLeaseOf() tells why a host is sent nothing, and prefers one that is", async () => {
  const first = leaseOf("h2", "10.244.2.0/24");
  const faults = [{ host: "h2", reason: "its MAC is another host's" }];
  const facts = { lastPass: () => pass({ faults }) };
  assertEquals((await ask("10.244.2.5", [first], facts)).lease?.leftOut, "its MAC is another host's");
  const second = leaseOf("h3", "10.244.2.0/24");
  assertEquals((await ask("10.244.2.5", [first, second], facts)).lease?.host, "h3");
  const other = leaseOf("h4", "10.244.4.0/24", { backendType: "host-gw" });
  assertEquals(
    (await ask("10.244.4.5", [other])).lease?.leftOut,
    "its backend is host-gw, and this host's vxlan",
  );
});

Deno.test("answerLeaseOf() has the other host asked, where somebody asks", async () => {
  const asked: string[] = [];
  const askPeer: StatusDeps["askPeer"] = (host) => {
    asked.push(host);
    return Promise.resolve([{
      network: "overlay",
      target: parseAddress("10.244.2.0"),
      packetBytes: 1450,
      roundTripMs: undefined,
      view: undefined,
    }]);
  };
  const leases = [OWN, leaseOf("h2", "10.244.2.0/24")];
  const { lease } = await ask("10.244.2.5", leases, { askPeer });
  assertEquals(lease?.probes, [{
    network: "overlay",
    target: "10.244.2.0",
    packetBytes: 1450,
    roundTripMs: null,
    hears: null,
  }]);
  await ask("10.244.1.5", leases, { askPeer });
  assertEquals(asked, ["h2"]);
});
