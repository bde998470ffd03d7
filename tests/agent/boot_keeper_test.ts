import { assertEquals } from "@std/assert";
import { BootKeeper } from "../../src/agent/boot_keeper.ts";
import { formatBootIdentity } from "../../src/host/boot_identity.ts";
import type { Log } from "../../src/log/log.ts";
import { parseAddress, parseMac } from "../../src/model/address.ts";
import type { Underlay } from "../../src/model/underlay.ts";
import { Libc } from "../../src/linux/libc.ts";

const log: Log = { write: () => {} };
const MAC = parseMac("52:54:00:00:00:01");
const UNDERLAY: Underlay = { linkIndex: 2, linkName: "eth0", mtuBytes: 1500, mac: MAC, addresses: [] };

/** What an agent of the boot before wrote, whose VTEP has a MAC that ends with `last`. */
const written = (last: string) =>
  formatBootIdentity({
    bootId: "00000000-0000-4000-8000-000000000000",
    underlay: { linkName: "eth0", mac: MAC },
    vteps: [{ linkName: "flannel.1", mac: parseMac(`0e:00:00:00:00:${last}`) }],
    addresses: [parseAddress("192.0.2.1")],
    holding: undefined,
  });

const files: [subnetFile: string, there: Record<string, string>, mac: string | undefined, why: string][] = [
  ["subnet.env", { "boot.json": "01" }, "0e:00:00:00:00:01", "it is where it always was"],
  ["red.env", { "boot.json": "01" }, "0e:00:00:00:00:01", "an earlier version wrote it under the usual name"],
  ["red.env", { "boot.json": "01", "red.env.boot.json": "02" }, "0e:00:00:00:00:02", "its own is stronger"],
  ["subnet.env", { "red.env.boot.json": "02" }, undefined, "what is another agent's is not read"],
];

for (const [subnetFile, there, mac, why] of files) {
  Deno.test(`an agent of ${subnetFile} knows the MAC ${mac} beside ${Object.keys(there).join(" and ")}: ${why}`, async () => {
    const folder = await Deno.makeTempDir({ prefix: "loden-boot-" });
    using libc = new Libc();
    try {
      for (const [name, last] of Object.entries(there)) {
        await Deno.writeTextFile(`${folder}/${name}`, written(last));
      }
      const keeper = new BootKeeper(`${folder}/${subnetFile}`, { libc, log });
      assertEquals(
        keeper.look(UNDERLAY).vtepMacs.get("flannel.1"),
        mac === undefined ? undefined : parseMac(mac),
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
