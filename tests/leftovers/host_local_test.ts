import { assert, assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import {
  poolUsage,
  readReservations,
  releaseReservation,
  storeChangedAtMs,
  usableAddresses,
} from "../../src/leftovers/host_local.ts";
import { formatAddress, parseAddress, parsePrefix } from "../../src/model/address.ts";

/** A store with one network, `cbr0`. */
async function inStore(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-store-" });
  try {
    await Deno.mkdir(`${folder}/cbr0`);
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const files: [name: string, content: string, holder: string | undefined, why: string][] = [
  ["10.244.1.2", "c1\r\neth0", "c1 eth0", "it is as host-local writes it"],
  ["10.244.1.3", "c1\r\neth0\r\n", "c1 eth0", "a line end behind it says nothing"],
  ["10.244.1.4", "c1", "c1 undefined", "old releases did not say the link"],
  ["fd00:1::2", "c1\neth0", "c1 eth0", "the name of an IPv6 address is its text"],
  ["10.244.1.5", "", undefined, "host-local was killed before it wrote"],
  ["10.244.1.6", "../../etc\r\neth0", undefined, "no container is called so"],
  ["10.244.1.7", "c1\r\neth0/../x", undefined, "no link is called so"],
  ["10.244.1.8", "c1\r\neth0\r\nmore", undefined, "there is a third line"],
  ["10.244.1.9", `c${"1".repeat(600)}`, undefined, "it is longer than any name"],
  ["10.244.1.10", "\0\u{ffff}", undefined, "it is no text"],
];

for (const [name, content, holder, why] of files) {
  Deno.test(`readReservations() finds ${holder ?? "no holder"} in ${name}, since ${why}`, () =>
    inStore(async (folder) => {
      await Deno.writeTextFile(`${folder}/cbr0/${name}`, content);
      const { reservations, unreadable } = readReservations(folder, "cbr0");
      assertEquals(
        reservations.map(({ containerId, ifname }) => `${containerId} ${ifname}`),
        holder === undefined ? [] : [holder],
      );
      assertEquals(unreadable, holder === undefined ? [name] : []);
      assertEquals(reservations.map(({ address }) => formatAddress(address)), holder ? [name] : []);
    }));
}

Deno.test("readReservations() passes by what is not an address, and follows no link", () =>
  inStore(async (folder) => {
    for (const name of ["lock", "last_reserved_ip.0", "10.244.1.256", "notes", ".10.244.1.2"]) {
      await Deno.writeTextFile(`${folder}/cbr0/${name}`, "c1\r\neth0");
    }
    await Deno.mkdir(`${folder}/cbr0/10.244.1.2`);
    await Deno.symlink(`${folder}/cbr0/notes`, `${folder}/cbr0/10.244.1.3`);
    assertEquals(readReservations(folder, "cbr0"), { reservations: [], unreadable: [] });
  }));

for (const network of ["none", "..", "../cbr0", "cbr0/.", ""]) {
  Deno.test(`readReservations() finds nothing in the network "${network}"`, () =>
    inStore(async (folder) => {
      await Deno.writeTextFile(`${folder}/10.244.1.2`, "c1\r\neth0");
      assertEquals(readReservations(folder, network), { reservations: [], unreadable: [] });
    }));
}

Deno.test("releaseReservation() removes what is as it was seen, once", () =>
  inStore(async (folder) => {
    await Deno.writeTextFile(`${folder}/cbr0/10.244.1.2`, "c1\r\neth0");
    const [seen] = readReservations(folder, "cbr0").reservations;
    assertEquals([await releaseReservation(seen!), await releaseReservation(seen!)], [true, false]);
    assertEquals(readReservations(folder, "cbr0").reservations, []);
  }));

for (const content of ["c2\r\neth0", "c1\r\nnet1", ""]) {
  Deno.test(`releaseReservation() leaves a file that says ${JSON.stringify(content)} by now`, () =>
    inStore(async (folder) => {
      const path = `${folder}/cbr0/10.244.1.2`;
      await Deno.writeTextFile(path, "c1\r\neth0");
      const [seen] = readReservations(folder, "cbr0").reservations;
      await Deno.writeTextFile(path, content);
      await Deno.utime(path, seen!.writtenAtMs / 1000, seen!.writtenAtMs / 1000);
      assertEquals(await releaseReservation(seen!), false);
      assertEquals(await Deno.readTextFile(path), content);
    }));
}

Deno.test("releaseReservation() leaves what the same container was given again meanwhile", () =>
  inStore(async (folder) => {
    const path = `${folder}/cbr0/10.244.1.2`;
    await Deno.writeTextFile(path, "c1\r\neth0");
    await Deno.utime(path, 1000, 1000);
    const [seen] = readReservations(folder, "cbr0").reservations;
    await Deno.writeTextFile(path, "c1\r\neth0");
    assertEquals(await releaseReservation(seen!), false);
  }));

Deno.test("releaseReservation() waits for the lock that host-local takes", () =>
  inStore(async (folder) => {
    const path = `${folder}/cbr0/10.244.1.2`;
    await Deno.writeTextFile(path, "c1\r\neth0");
    const [seen] = readReservations(folder, "cbr0").reservations;
    const holder = await Deno.open(`${folder}/cbr0/lock`, { write: true, create: true });
    await holder.lock(true);
    let isDone = false;
    const release = releaseReservation(seen!).then((isReleased) => isDone = isReleased);
    // Time enough for a release that does not wait, none for one that gives up.
    for (let turn = 0; turn < 20; turn++) await Deno.lstat(path);
    assertEquals(isDone, false);
    holder.close();
    await release;
    assert(isDone);
  }));

Deno.test("releaseReservation() says so where the lock can't be had", () =>
  inStore(async (folder) => {
    await Deno.writeTextFile(`${folder}/cbr0/10.244.1.2`, "c1\r\neth0");
    const [seen] = readReservations(folder, "cbr0").reservations;
    await Deno.mkdir(`${folder}/cbr0/lock`);
    await assertRejects(
      () => releaseReservation(seen!),
      Error,
      `Cannot lock ${folder}/cbr0/lock: it is a folder`,
    );
  }));

const sizes: [subnet: string, size: number, why: string][] = [
  ["10.244.1.0/24", 253, "the subnet's own, the gateway's and the broadcast address are not given"],
  ["10.244.1.0/29", 5, "the same three"],
  ["10.244.1.0/30", 1, "the smallest that host-local takes"],
  ["10.244.1.0/31", 0, "host-local refuses it"],
  ["10.244.1.1/32", 0, "host-local refuses it"],
  ["fd00::/120", 254, "IPv6 has no broadcast address"],
  ["fd00::/64", 2 ** 64, "it has more than a number can count"],
];
for (const [subnet, size, why] of sizes) {
  Deno.test(`usableAddresses() finds ${size} in ${subnet}: ${why}`, () => {
    assertEquals(usableAddresses(parsePrefix(subnet)), size);
  });
}

Deno.test("the real host-local gives out as many addresses as usableAddresses() says", () =>
  inStore(async (folder) => {
    for (const subnet of ["10.244.1.0/29", "10.244.2.0/30", "fd00:1::/125"]) {
      const size = usableAddresses(parsePrefix(subnet));
      const network = `n${size}-${subnet.length}`;
      let given = 0;
      while (await hostLocal("ADD", { folder, network, subnet, containerId: `c${given}` })) given++;
      assertEquals(given, size, subnet);
      const subnets = [parsePrefix(subnet)];
      assertEquals(poolUsage({ networksDir: folder, network, subnets }), [
        { network, subnet, used: size, size, leftovers: undefined },
      ]);
    }
  }));

Deno.test("poolUsage() counts each subnet's addresses, and the leftovers among them", () =>
  inStore(async (folder) => {
    for (const name of ["10.244.1.2", "10.244.1.3", "10.9.0.1", "fd00:1::2", "lock", "last_reserved_ip.0"]) {
      await Deno.writeTextFile(join(folder, "cbr0", name), "c1\r\neth0");
    }
    const subnets = ["10.244.1.0/24", "fd00:1::/64"].map(parsePrefix);
    const leftovers = ["10.244.1.3", "10.9.0.1", "10.244.1.77"].map(parseAddress);
    const found = poolUsage({ networksDir: folder, network: "cbr0", subnets, leftovers });
    assertEquals(found.map(({ subnet, used, leftovers }) => [subnet, used, leftovers]), [
      ["10.244.1.0/24", 2, 1],
      ["fd00:1::/64", 1, 0],
    ]);
  }));

for (const network of ["none", "../..", "a file"]) {
  Deno.test(`poolUsage() answers for a store that it can't read: ${network}`, () =>
    inStore(async (folder) => {
      await Deno.writeTextFile(`${folder}/a file`, "");
      const networksDir = network === "a file" ? `${folder}/a file` : folder;
      const [pool] = poolUsage({ networksDir, network, subnets: [parsePrefix("10.244.1.0/24")] });
      assertEquals([pool!.used, pool!.size], [0, 253]);
    }));
}

Deno.test("releases go on beside a real host-local that gives and takes addresses, and no live one is lost", () =>
  inStore(async (folder) => {
    const subnet = "10.244.1.0/24";
    const pods = Array.from({ length: 8 }, (_, index) => index);
    const live = new Set<string>();
    // Half of the pods are detached by host-local, the others vanish; meanwhile more are attached.
    const churn = pods.map(async (pod) => {
      for (let round = 0; round < 6; round++) {
        const containerId = `pod${pod}-${round}`;
        assert(await hostLocal("ADD", { folder, network: "cbr0", subnet, containerId }));
        if (round % 3 === 0) live.add(containerId);
        else if (round % 3 === 1) {
          assert(await hostLocal("DEL", { folder, network: "cbr0", subnet, containerId }));
        }
      }
    });
    let isOver = false;
    const cleaning = (async () => {
      let released = 0;
      while (!isOver) {
        // Others have their turn also while there is nothing to do.
        await Deno.lstat(folder);
        for (const seen of readReservations(folder, "cbr0").reservations) {
          const round = Number(seen.containerId.split("-")[1]);
          if (round % 3 !== 0 && await releaseReservation(seen)) released++;
        }
      }
      return released;
    })();
    await Promise.all(churn);
    isOver = true;
    await cleaning;
    for (const seen of readReservations(folder, "cbr0").reservations) {
      if (!live.has(seen.containerId)) await releaseReservation(seen);
    }
    const left = readReservations(folder, "cbr0").reservations.map(({ containerId }) => containerId);
    assertEquals(left.sort(), [...live].sort());
  }));

/** Calls the real `host-local`; reports whether it did as told. */
async function hostLocal(
  verb: "ADD" | "DEL",
  { folder, network, subnet, containerId }: Record<"folder" | "network" | "subnet" | "containerId", string>,
): Promise<boolean> {
  const child = new Deno.Command("/usr/lib/cni/host-local", {
    env: {
      CNI_COMMAND: verb,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: "/x",
      CNI_IFNAME: "eth0",
      CNI_PATH: "/usr/lib/cni",
    },
    stdin: "piped",
    stdout: "null",
    stderr: "null",
  }).spawn();
  const ipam = { type: "host-local", ranges: [[{ subnet }]], dataDir: folder };
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify({ cniVersion: "1.0.0", name: network, ipam })));
  await writer.close();
  return (await child.status).success;
}

Deno.test("readReservations() opens only the files of addresses that are wanted", () =>
  inStore(async (folder) => {
    for (const name of ["10.244.1.2", "10.244.2.2"]) {
      await Deno.writeTextFile(`${folder}/cbr0/${name}`, "c1\r\neth0");
    }
    const wanted = parseAddress("10.244.2.2");
    const { reservations } = readReservations(folder, "cbr0", (address) => address === wanted);
    assertEquals(reservations.map(({ address }) => formatAddress(address)), ["10.244.2.2"]);
  }));

Deno.test("storeChangedAtMs() knows when something came or went, and nothing of a folder that is not there", () =>
  inStore(async (folder) => {
    await Deno.utime(`${folder}/cbr0`, 1, 1);
    assertEquals(storeChangedAtMs(folder, "cbr0"), 1000);
    await Deno.writeTextFile(`${folder}/cbr0/10.244.1.2`, "c1");
    assert(storeChangedAtMs(folder, "cbr0")! > 1000);
    assertEquals(storeChangedAtMs(folder, "other"), undefined);
    assertEquals(storeChangedAtMs(folder, "../x"), undefined);
  }));
