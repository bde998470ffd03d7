import { KEYS } from "../registry/kube/servers.ts";
import type { Json } from "../double/api_objects.ts";
import { hostsOf, until } from "../double/overlay_rig.ts";
import { withKubeOverlay } from "../double/overlay_servers.ts";
import { ip } from "../double/overlay_standing.ts";

const OTHER = "192.0.2.150";

Deno.test("of two addresses that are as good, a host starts with the one that the cluster knows its node by", async () => {
  await withKubeOverlay("double", async ({ lab, server, flags }) => {
    const [h1] = hostsOf(lab);
    const published = async () => {
      const annotations = ((await server.node("h1"))!.metadata as Json).annotations as Json;
      return annotations[KEYS.address[2]];
    };
    await h1.stopAgent();
    // As after a boot: nothing tells which address was in use.
    for (const file of ["boot.json", "leases.json"]) {
      await Deno.remove(`${h1.directory}/${file}`).catch(() => {});
    }
    await ip(h1, "address", "add", `${OTHER}/25`, "dev", "eth0");
    await server.patchNode(
      "h1",
      { status: { addresses: [{ type: "InternalIP", address: OTHER }] } },
      "status",
    );
    h1.startAgent(flags);
    let address: unknown;
    await until(
      `see ${OTHER} published`,
      async () => (address = await published()) === OTHER || undefined,
      () => String(address),
    );
  });
});
