import { AF_INET, AF_INET6, type Family } from "../../src/model/address.ts";
import { hostsOf, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { mountSmallDisk } from "./disk.ts";
import { FAULTS } from "./faults.ts";
import { HostState } from "./host_state.ts";
import { pinCardMac } from "./objects.ts";
import { applies, runFault } from "./run_fault.ts";
import { dropForwarded } from "./rules.ts";
import { BACKENDS, MODES } from "./site.ts";

const DUAL = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };
const NETWORKS: readonly (readonly [name: string, families: Family[], network: Record<string, unknown>])[] = [
  ["IPv4", [AF_INET], { Network: "10.244.0.0/16" }],
  ["IPv6", [AF_INET6], { EnableIPv4: false, ...DUAL }],
  ["dual stack", [AF_INET, AF_INET6], { Network: "10.244.0.0/16", ...DUAL }],
];
const AGENT_FLAGS = ["-ip-masq"];

for (const mode of MODES) {
  for (const [kind, families, network] of NETWORKS) {
    Deno.test(`${mode}, ${kind}: whatever happens to a host, all is as before, and others lose no packet`, async (t) => {
      const networkConfig = { ...network, Backend: BACKENDS[mode] };
      await withOverlay({ families, networkConfig, withAgents: false }, async (lab, libc) => {
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
        const [host, peer] = hostsOf(lab);
        for (const fault of FAULTS) {
          if (!applies(fault, mode, families)) continue;
          const isRepaired = await t.step(fault.name, async () => {
            const site = { lab, libc, host, peer, agentFlags: AGENT_FLAGS, state: new HostState(host) };
            const outcome = await runFault(fault, site);
            // deno-lint-ignore no-console
            console.log(mode, kind, fault.name, JSON.stringify(outcome));
          });
          // What is not whole tells nothing about the next fault.
          if (!isRepaired) break;
        }
      });
    });
  }
}
