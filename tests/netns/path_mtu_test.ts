import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { formatAddress, formatPrefix } from "../../src/model/address.ts";
import { hostsOf, until, untilSettled, withOverlay } from "../double/overlay_rig.ts";

/** The MTU of a host's route to the subnet of another; `undefined` where it has none of its own. */
async function routeMtu(from: LabHost, to: LabHost): Promise<number | undefined> {
  const routes = await from.netns.mustExec("ip", "route", "show", formatPrefix(to.share.subnets[0]!));
  const [, mtu] = / mtu (\d+)/.exec(routes) ?? [];
  return mtu === undefined ? undefined : Number(mtu);
}

/** Whether a packet of 1,428 bytes, which routers may cut, gets from pod to pod and back. */
async function passes(from: LabHost, to: LabHost): Promise<boolean> {
  const target = formatAddress(to.pod.addresses[0]!);
  const { code } = await from.podExec("ping", "-c1", "-W1", "-s1400", "-Mdont", target);
  return code === 0;
}

Deno.test("with -path-mtu the route to a host behind a narrow path has the MTU that gets through", async () => {
  await withOverlay({ hosts: 3, agentFlags: ["-path-mtu"] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2, h3] = hostsOf(lab);
    assertEquals([await routeMtu(h1, h2), await routeMtu(h1, h3)], [undefined, undefined]);
    // What h3 sends has to be smaller; what it gets has not.
    await lab.underlay.mustExec("ip", "link", "set", h3.name, "mtu", "1430");
    assertEquals(await passes(h3, h1), false);
    let mtus: readonly (number | undefined)[] = [];
    await until("lower the MTU of what h3 sends", async () => {
      mtus = [await routeMtu(h3, h1), await routeMtu(h3, h2)];
      return mtus.every((mtu) => mtu !== undefined && mtu >= 1380 && mtu < 1390) || undefined;
    }, () => mtus.join(" and "));
    await until("see a packet that was lost before", async () => await passes(h3, h1) || undefined);
    mtus = [await routeMtu(h1, h2), await routeMtu(h1, h3), await routeMtu(h2, h3)];
    assertEquals(mtus, [undefined, undefined, undefined], "what gets through as it is stays");
  });
});
