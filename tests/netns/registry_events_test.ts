import { assertEquals } from "@std/assert";
import { KubeRegistry } from "../../src/registry/kube/kube.ts";
import { LeaseSet } from "../../src/registry/lease_set.ts";
import type { Log } from "../../src/log/log.ts";
import type { Lease } from "../../src/model/lease.ts";
import { Libc } from "../../src/linux/libc.ts";
import { waitUntil } from "../../src/lab/wait.ts";
import { SEED, seededRandom } from "../double/random.ts";
import { TestHost } from "../double/test_host.ts";
import { LAST_NODE, UnreliableNodes } from "../double/unreliable_nodes.ts";

const ROUNDS = 12;
const CHANGES = 40;
const DEADLINE_MS = 10_000;
const SILENT: Log = { write: () => {} };

function registryAt(url: string, networks: TestHost["networks"]): KubeRegistry {
  return new KubeRegistry({
    readTextFile: (path) => Deno.readTextFile(path),
    now: () => Date.now(),
    elapsedMs: () => performance.now(),
    // No pause is longer than the first: what is tested comes behind it.
    random: () => 0,
    log: SILENT,
    ownNodeChanged: () => {},
  }, {
    access: { url, tls: {}, hint: "" },
    identity: { nodeName: "own" },
    annotationPrefix: "flannel.alpha.coreos.com/",
    networks,
  });
}

/** All leases as a fresh start finds them. */
async function listed(url: string, networks: TestHost["networks"]): Promise<LeaseSet> {
  using registry = registryAt(url, networks);
  const controller = new AbortController();
  const leases = new LeaseSet();
  for await (const update of registry.watch(controller)) {
    leases.apply(update);
    if (update.kind === "snapshot") break;
  }
  controller.abort();
  return leases;
}

function text(leases: readonly Lease[] | undefined): string {
  const sorted = [...leases ?? []].sort((a, b) => a.host < b.host ? -1 : 1);
  return JSON.stringify(sorted, (_, value) => typeof value === "bigint" ? String(value) : value);
}

Deno.test(`events that are lost, repeated, turned round or old end in the same kernel state, seed ${SEED}`, async () => {
  using libc = new Libc();
  const random = seededRandom(SEED);
  for (let round = 0; round < ROUNDS; round++) {
    await using server = new UnreliableNodes(random, { losesEvents: round % 2 === 0 });
    await using host = await TestHost.open(libc);
    const name = `round ${round} of seed ${SEED}`;
    const leases = new LeaseSet();
    const controller = new AbortController();
    using registry = registryAt(server.url, host.networks);
    const remote = (set: LeaseSet) => set.remote(host.own, host.networks)!.leases;
    const follow = (async () => {
      for await (const update of registry.watch(controller)) {
        if (leases.apply(update)) host.reconcile(remote(leases));
      }
    })();
    using _ = { [Symbol.dispose]: () => controller.abort() };
    for (let change = 0; change < CHANGES; change++) {
      server.change();
      if (random() < 0.3) await new Promise((resolve) => setTimeout(resolve, random() * 5));
    }
    server.beHonest();
    const truth = await listed(server.url, host.networks);
    await waitUntil(
      `follow the nodes in ${name}`,
      () => leases.of(LAST_NODE) !== undefined && text(leases.all) === text(truth.all) || undefined,
      { deadlineMs: DEADLINE_MS, signal: controller.signal },
      () => `${text(leases.all)}\nis not\n${text(truth.all)}`,
    );
    await using fresh = await TestHost.open(libc);
    fresh.reconcile(remote(truth));
    assertEquals(await host.show(), await fresh.show(), name);
    controller.abort();
    await follow;
  }
});
