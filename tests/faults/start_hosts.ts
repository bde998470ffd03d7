import type { Lab } from "../../src/lab/lab.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { untilSettled } from "../double/overlay_rig.ts";
import { mountSmallDisk } from "./disk.ts";
import { pinCardMac } from "./objects.ts";
import { dropForwarded } from "./rules.ts";

/** Flags of every agent that meets faults. */
export const AGENT_FLAGS: readonly string[] = ["-ip-masq"];

/** Starts agents on hosts that drop what no rule lets pass, their files on a small disk, and makes their pods. */
export async function startHosts(lab: Lab, libc: Libc): Promise<AsyncDisposable> {
  await using disks = new AsyncDisposableStack();
  for (const host of lab.hosts) {
    disks.use(await mountSmallDisk(host.directory));
    pinCardMac(host);
    await dropForwarded(host);
    host.startAgent(AGENT_FLAGS);
  }
  for (const host of lab.hosts) {
    await host.waitForSubnets();
    await host.makePod();
  }
  await untilSettled(lab, libc);
  return disks.move();
}
