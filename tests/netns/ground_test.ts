import { assert, assertEquals } from "@std/assert";
import { type LabHost, UPLINK } from "../../src/lab/host.ts";
import { httpGet } from "../double/overlay_http.ts";
import { onEveryRegistry, type RegistryOverlay } from "../double/overlay_registries.ts";
import { etcdAccess } from "../double/overlay_leases.ts";
import { hostsOf, statusOf, untilReady } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, withEtcdOverlay } from "../double/overlay_servers.ts";
import {
  addLink,
  addressOf,
  ip,
  leaseOf,
  standingOf,
  underTraffic,
  untilAsBefore,
  within,
} from "../double/overlay_standing.ts";

const DEADLINE_MS = 20_000;
/** A lease that nobody asked for, on the subnet 10.244.0.0/24. */
const CLAIM = { address: "192.0.2.99", mac: "0e:2a:00:00:00:99", subnet: "10.244.0.0" };
const COVERED = "10.244.0.0/24";

/** The routes of a host, but for those of the overlay. */
async function othersRoutes(host: LabHost): Promise<string[]> {
  return (await ip(host, "-4", "route", "show")).split("\n").filter((line) => !line.includes("proto 76"));
}

async function untilLeftOut({ libc }: RegistryOverlay, host: LabHost, part: string): Promise<void> {
  let said = "";
  await within(`hear ${host.name} say ${part}`, DEADLINE_MS, async () => {
    said = JSON.stringify((await statusOf(libc, host))?.pass.faults);
    return said.includes(part);
  }, () => said);
}

async function untilSays({ libc }: RegistryOverlay, host: LabHost, parts: readonly string[]): Promise<void> {
  let answer = "";
  await within(`hear ${host.name} say ${parts.join(" and ")}`, DEADLINE_MS, async () => {
    const response = await httpGet(libc, host.netns, "/readyz");
    answer = response === undefined ? "nobody listens" : `${response.status} ${response.body}`;
    return parts.every((part) => answer.includes(part));
  }, () => answer);
}

/** Puts the lease, sees it left out on the first host alone, and takes it away again. */
async function coverAndUncover(overlay: RegistryOverlay, says: string): Promise<void> {
  const [h1, h2, h3] = hostsOf(overlay.lab);
  const before = await standingOf(overlay);
  const routes = await othersRoutes(h1);
  await underTraffic([[h1, h2], [h2, h3], [h3, h1]], async () => {
    const key = await overlay.put(CLAIM);
    await untilLeftOut(overlay, h1, `its subnet ${COVERED} covers ${says}`);
    assertEquals(await othersRoutes(h1), routes);
    assertEquals(await ip(h1, "-4", "route", "show", COVERED, "proto", "76"), "");
    // The others need nothing that is in it.
    await within("see the lease used elsewhere", DEADLINE_MS, async () => {
      return (await ip(h2, "-4", "route", "show", COVERED, "proto", "76")) !== "";
    });
    await overlay.remove(key);
  });
  await untilAsBefore(overlay, before);
  assertEquals(await othersRoutes(h1), routes);
}

onEveryRegistry(
  "a lease over a connected network is left out, and the kernel's route stays",
  {},
  async (overlay) => {
    const [h1] = hostsOf(overlay.lab);
    await addLink(h1, "lan0");
    await ip(h1, "address", "add", "10.244.0.9/24", "dev", "lan0");
    await coverAndUncover(overlay, "10.244.0.9, an address of lan0");
  },
);

onEveryRegistry("a lease over the gateway is left out, and the way out stays", {}, async (overlay) => {
  const [h1] = hostsOf(overlay.lab);
  await ip(h1, "route", "add", "10.244.0.254/32", "dev", UPLINK);
  const gateway = ["default", "via", "10.244.0.254", "dev", UPLINK, "onlink", "metric", "900"];
  await ip(h1, "route", "add", ...gateway);
  await coverAndUncover(overlay, `the gateway 10.244.0.254 of ${UPLINK}`);
});

onEveryRegistry(
  "a lease over an address of the registry is left out",
  { registries: ["etcd"] },
  async (overlay) => {
    const [h1] = hostsOf(overlay.lab);
    await h1.stopAgent();
    const endpoints = overlay.flags.find((flag) => flag.startsWith("-etcd-endpoints="))!;
    h1.startAgent([...overlay.flags, `${endpoints},http://10.244.0.2:2379`]);
    await untilSays(overlay, h1, ["200 "]);
    await coverAndUncover(overlay, "10.244.0.2, where etcd ");
  },
);

onEveryRegistry(
  "an address that comes into a peer's subnet has it left out, and going gives it back",
  {},
  async (overlay) => {
    const [h1, h2] = hostsOf(overlay.lab);
    const before = await standingOf(overlay);
    const { address } = h2.share.subnets[0]!;
    const inside = [24, 16, 8].map((shift) => (address as number) >>> shift & 0xff).join(".");
    await ip(h1, "address", "add", `${inside}.99/32`, "dev", UPLINK);
    await untilLeftOut(overlay, h1, `${inside}.99, an address of ${UPLINK}`);
    await untilSays(overlay, h1, ["200 "]);
    await ip(h1, "address", "delete", `${inside}.99/32`, "dev", UPLINK);
    await untilAsBefore(overlay, before);
  },
);

onEveryRegistry(
  "a podCIDR over the underlay's own segment is not used, and is once that has gone",
  { registries: ["Kubernetes"] },
  async (overlay) => {
    const host = await overlay.addHost("10.244.77.0/24");
    await ip(host, "address", "add", "10.244.77.9/24", "dev", UPLINK);
    host.startAgent(overlay.flags);
    await untilSays(overlay, host, ["503 ", "its subnet 10.244.77.0/24 covers", "give it another subnet"]);
    assertEquals(await ip(host, "-o", "link", "show", "type", "vxlan"), "");
    assert(!(await othersRoutes(host)).some((line) => line.includes("flannel")));
    await ip(host, "address", "delete", "10.244.77.9/24", "dev", UPLINK);
    await untilSays(overlay, host, ["200 "]);
  },
);

onEveryRegistry(
  "an own lease that comes to cover an address stays, and the host is not ready",
  {},
  async (overlay) => {
    const [h1, h2, h3] = hostsOf(overlay.lab);
    const before = await standingOf(overlay);
    const { address } = h1.share.subnets[0]!;
    const inside = [24, 16, 8].map((shift) => (address as number) >>> shift & 0xff).join(".");
    await underTraffic([[h2, h3], [h3, h2]], async () => {
      await ip(h1, "route", "add", `${inside}.254/32`, "dev", UPLINK, "metric", "900");
      const gateway = ["default", "via", `${inside}.254`, "dev", UPLINK, "onlink", "metric", "901"];
      await ip(h1, "route", "add", ...gateway);
      await untilSays(overlay, h1, ["503 ", `covers the gateway ${inside}.254 of ${UPLINK}`]);
      await ip(h1, "route", "delete", ...gateway);
      await ip(h1, "route", "delete", `${inside}.254/32`, "dev", UPLINK, "metric", "900");
    });
    await untilAsBefore(overlay, before);
  },
);

Deno.test("a host whose key in etcd another host has taken takes another subnet, and tells its plugin", async () => {
  await withEtcdOverlay(async ({ lab, libc, server }) => {
    const [h1] = hostsOf(lab);
    const { leases } = etcdAccess(server);
    const { key } = leaseOf(await leases(), h1);
    const data = { VNI: 1, VtepMAC: CLAIM.mac };
    const value = { PublicIP: CLAIM.address, BackendType: "vxlan", BackendData: data };
    await server.put(`${ETCD_PREFIX}/subnets/${key}`, JSON.stringify(value));
    let file = "";
    await within("see another subnet", DEADLINE_MS, async () => {
      file = await Deno.readTextFile(h1.subnetFilePath);
      return !file.includes(key.replace(/0-24$/, "1/24"));
    }, () => file);
    const own = (await leases()).filter(({ addresses }) => addresses.includes(addressOf(h1)));
    assertEquals(own.length, 1);
    assert(own[0]!.key !== key);
    assertEquals((await leases()).find((lease) => lease.key === key)?.addresses, [CLAIM.address]);
    await untilReady(libc, h1);
  });
});
