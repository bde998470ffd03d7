import { assertEquals, assertStringIncludes } from "@std/assert";
import { OldPodsKeeper } from "../../src/agent/old_pods_keeper.ts";
import { formatAddress, parsePrefix } from "../../src/model/address.ts";

const OWN = [parsePrefix("10.244.5.0/24")];

interface World {
  /** Where the addresses are. */
  readonly store: string;
  readonly keeper: OldPodsKeeper;
  readonly look: (network?: string, among?: string[]) => void;
  readonly reserve: (address: string, container: string) => void;
  readonly release: (address: string) => void;
  /** What the runtime has kept of a pod, whose link this is. */
  readonly keepResult: (container: string, link: string) => void;
  /** Lets the folder be as it was long ago, so that a change is one. */
  readonly settle: () => void;
  /** Links that are there. */
  readonly links: Set<string>;
  readonly counts: { hosts: number; elapsedMs: number };
}

async function withWorld(body: (world: World) => void): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "lodentest-oldpods-" });
  const store = `${root}/networks/cbr0`;
  const counts = { hosts: 0, elapsedMs: 0 };
  const links = new Set<string>();
  try {
    await Deno.mkdir(store, { recursive: true });
    await Deno.mkdir(`${root}/results`);
    const keeper = new OldPodsKeeper({
      host: () => {
        counts.hosts++;
        return {
          links: new Map([...links].map((name) => [name, "veth"])),
          neighbours: new Set(),
          bootedAtMs: 0,
          nowMs: Date.now() + 3_600_000,
          isThere: () => false,
        };
      },
      elapsedMs: () => counts.elapsedMs,
      resultsDir: `${root}/results`,
    });
    body({
      store,
      keeper,
      counts,
      links,
      look: (network = "cbr0", among) =>
        keeper.look(
          { networksDir: `${root}/networks`, network },
          { own: OWN, held: [], ...among && { among: among.map(parsePrefix) } },
        ),
      reserve: (address, container) => Deno.writeTextFileSync(`${store}/${address}`, `${container}\r\neth0`),
      release: (address) => Deno.removeSync(`${store}/${address}`),
      keepResult: (container, link) =>
        Deno.writeTextFileSync(
          `${root}/results/cbr0-${container}-eth0`,
          JSON.stringify({ kind: "cniCacheV1", result: { interfaces: [{ name: link }] } }),
        ),
      settle: () => Deno.utimeSync(store, 1, 1),
    });
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

Deno.test("OldPodsKeeper asks nobody on a host whose pods all have addresses of its subnet", async () => {
  await withWorld(({ keeper, look, reserve, counts }) => {
    reserve("10.244.5.2", "c1");
    for (let pass = 0; pass < 3; pass++) look();
    assertEquals([keeper.conditions, keeper.addresses, counts.hosts], [[], [], 0]);
  });
});

Deno.test("OldPodsKeeper counts pods of an old subnet that are there, and looks when the store changes", async () => {
  await withWorld(({ keeper, look, reserve, release, keepResult, settle, links, counts }) => {
    reserve("10.244.21.2", "c1");
    reserve("10.244.21.3", "gone");
    keepResult("c1", "veth1");
    keepResult("gone", "veth2");
    links.add("veth1");
    settle();
    for (let pass = 0; pass < 3; pass++) look();
    assertEquals(keeper.conditions.length, 1);
    assertStringIncludes(
      keeper.conditions[0]!.sentence,
      "1 pod has addresses of 10.244.21.0/24 and must be re-created",
    );
    assertEquals(keeper.addresses!.map(formatAddress), ["10.244.21.2"]);
    assertEquals(keeper.reserved.map(formatAddress).sort(), ["10.244.21.2", "10.244.21.3"]);
    assertEquals(counts.hosts, 1);
    release("10.244.21.2");
    look();
    assertEquals([keeper.conditions, keeper.addresses], [[], []]);
  });
});

Deno.test("OldPodsKeeper looks again after ten minutes, as a pod may end without a word", async () => {
  await withWorld(({ keeper, look, reserve, keepResult, settle, links, counts }) => {
    reserve("10.244.21.2", "c1");
    keepResult("c1", "veth1");
    links.add("veth1");
    settle();
    look();
    links.delete("veth1");
    look();
    assertEquals(keeper.conditions.length, 1);
    counts.elapsedMs = 600_000;
    look();
    assertEquals(keeper.conditions, []);
  });
});

Deno.test("OldPodsKeeper leaves out what may be of another agent's network", async () => {
  await withWorld(({ keeper, look, reserve }) => {
    reserve("10.244.21.2", "c1");
    reserve("10.50.7.2", "c2");
    look("cbr0", ["10.244.0.0/16"]);
    assertEquals(keeper.reserved.map(formatAddress), ["10.244.21.2"]);
    assertEquals(keeper.conditions.length, 1);
  });
});

Deno.test("OldPodsKeeper does not know who has what in a store that it can't see", async () => {
  await withWorld(({ keeper, look }) => {
    assertEquals(keeper.addresses, undefined, "nobody has looked");
    look("elsewhere");
    assertEquals(keeper.addresses, undefined);
    look();
    assertEquals(keeper.addresses, []);
  });
});

Deno.test("OldPodsKeeper says while it can't see who has what", async () => {
  await withWorld(({ keeper, look, store, counts }) => {
    Deno.removeSync(store);
    Deno.writeTextFileSync(store, "a file where the folder should be");
    look();
    assertEquals(keeper.conditions.map(({ code }) => code), ["pods-unreadable"]);
    assertStringIncludes(
      keeper.conditions[0]!.sentence,
      "which pods have addresses of earlier subnets can't be read: ",
    );
    Deno.removeSync(store);
    Deno.mkdirSync(store);
    counts.elapsedMs = 600_000;
    look();
    assertEquals(keeper.conditions, []);
  });
});
