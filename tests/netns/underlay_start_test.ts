import { assertEquals } from "@std/assert";
import { createUnderlayLink, linkIndexOf, TestNetns } from "../double/netns.ts";
import { agentCommand, until } from "../double/overlay_rig.ts";

/** An agent alone on a host, told nothing about links. */
async function startAgent(
  stack: AsyncDisposableStack,
  netns: TestNetns,
  folder: string,
): Promise<Deno.ChildProcess> {
  await Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "10.244.0.0/16"}');
  const child = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", netns.name, ...agentCommand],
      `-net-config-path=${folder}/net-conf.json`,
      `-subnet-file=${folder}/subnet.env`,
      `-lease-cache=${folder}/leases.json`,
      `-local-registry=${folder}/registry.db`,
      `-log-file=${folder}/agent.log`,
      "-unmanaged-files=false",
      "-log-format=json",
    ],
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  stack.defer(async () => {
    try {
      child.kill("SIGTERM");
    } catch {
      // It has ended.
    }
    await child.status;
  });
  return child;
}

/** The link that the VTEP sends by; `undefined` while there is no VTEP. */
async function underlayOf(netns: TestNetns): Promise<unknown> {
  const [vtep] = await netns.ipJson("link", "show", "type", "vxlan");
  return (vtep?.linkinfo as { info_data: { link?: unknown } } | undefined)?.info_data.link;
}

Deno.test("an agent waits for the network to come, and goes where the default route goes", async (t) => {
  await using stack = new AsyncDisposableStack();
  const netns = stack.use(await TestNetns.create());
  const folder = await Deno.makeTempDir({ prefix: "loden-underlay-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  const agent = await startAgent(stack, netns, folder);
  let ended = false;
  agent.status.then(() => ended = true);

  await t.step("it says what it waits for, and does not end", async () => {
    const wanted =
      "Cannot choose the underlay link: no -iface is given: there is no IPv4 default route; name a link " +
      "with -iface; no link has an address";
    let log = "";
    await until("see the reason in the log", async () => {
      try {
        log = await Deno.readTextFile(`${folder}/agent.log`);
      } catch {
        return undefined;
      }
      return log.includes(wanted) ? true : undefined;
    }, () => log);
    assertEquals(ended, false);
  });

  await t.step("it builds once there is a link", async () => {
    await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
    await until("see a VTEP over eth0", async () => await underlayOf(netns) === "eth0" ? true : undefined);
  });

  await t.step("it follows the default route to another link, with its address", async () => {
    // Two default routes of one metric can't be.
    await netns.ip("route", "delete", "default");
    await createUnderlayLink(netns, { name: "eth1", address4: "198.51.100.1/24" });
    await until("see a VTEP over eth1", async () => await underlayOf(netns) === "eth1" ? true : undefined);
    const [vtep] = await netns.ipJson("link", "show", "type", "vxlan");
    const { info_data } = vtep!.linkinfo as { info_data: { local: string } };
    assertEquals(info_data.local, "198.51.100.1");
  });

  await t.step("while no default route is there the last one counts", async () => {
    await netns.ip("route", "delete", "default");
    await netns.ip("link", "delete", "flannel.1");
    await until("see the VTEP again", async () => await underlayOf(netns) === "eth1" ? true : undefined);
    const eth0 = await linkIndexOf(netns, "eth0");
    await netns.ip("route", "add", "default", "dev", "eth0");
    await until(
      `see a VTEP over link ${eth0}`,
      async () => await underlayOf(netns) === "eth0" ? true : undefined,
    );
  });
});
