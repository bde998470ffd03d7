import { assertEquals } from "@std/assert";
import type { PlannedChange } from "../../src/model/host_plan.ts";
import { localAccess } from "../double/overlay_leases.ts";
import { changesIn, planIn, planOn, untilAsked } from "../double/overlay_plan.ts";
import { hostsOf, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { FAULTS } from "./faults.ts";
import {
  differences,
  type HostObjects,
  hostObjects,
  newLinkSettings,
  plannedDifferences,
} from "./host_objects.ts";
import { HostState } from "./host_state.ts";
import { untilQuiet } from "./run_fault.ts";
import { applies, BACKENDS, type Fault, type FaultSite, KINDS, type Mode, MODES } from "./site.ts";
import { AGENT_FLAGS, startHosts } from "./start_hosts.ts";

/** All of it takes many minutes: every mode, families alone, and each family of a fault. */
const isWhole = Deno.env.get("LODEN_FAULTS") === "all";
const kinds = isWhole ? KINDS : KINDS.filter(({ families }) => families.length === 2);
/** In the fast run: one of each kind of object. */
const FAST: Readonly<Record<Mode, readonly string[]>> = {
  "vxlan": [
    "a route is replaced by one to a wrong next hop",
    "an FDB entry is deleted",
    "the overlay link is set down",
    "the overlay link is deleted",
    "the MAC of the overlay link is changed",
    "a foreign address is put on the overlay link",
    "the MTU of the underlay is changed, and back",
    "a masquerade rule is deleted",
    "iptables -F, where the policy is DROP",
    "forwarding is turned off",
    "/run/flannel is emptied",
  ],
  "vxlan + DirectRouting": [
    "all routes are deleted",
    "the network card goes, and comes back as another link of the same name",
  ],
  "host-gw": ["a route is deleted", "the underlay address is changed, and back"],
};
/** Faults that are made all at once, too. */
const AT_ONCE = [
  "the overlay link is deleted",
  "all routes are deleted",
  "the masquerade table is deleted",
  "iptables -F, where the policy is DROP",
  "forwarding is turned off",
];
/** Faults that are the agent's own, so that there is nothing to plan while it does not run. */
const OF_AGENT =
  /^(?:the agent gets|a route is deleted while no agent runs|a second agent|the registry can't be read)/;
/** Until it is restored, the agent has nothing to repair with. */
const NOT_UNTIL_RESTORED = /^\/run is full/;

for (const mode of MODES) {
  for (const { name: kind, families, network } of kinds) {
    Deno.test(`${mode}, ${kind}: after each fault a plan says what the agent then repairs, object by object`, async (t) => {
      const networkConfig = { ...network, Backend: BACKENDS[mode] };
      await withOverlay({ families, networkConfig, withAgents: false }, async (lab, libc) => {
        await using _disks = await startHosts(lab, libc);
        const [host, peer] = hostsOf(lab);
        const site = { lab, libc, host, peer, agentFlags: AGENT_FLAGS, state: new HostState(host) };
        await t.step("on a settled host it says nothing, with the agent and without", async () => {
          await untilQuiet(site);
          await host.waitForSubnets();
          await untilAsked(host);
          assertEquals(await planOn(host, AGENT_FLAGS), { code: 0, text: "", errors: "" });
          await host.stopAgent("SIGKILL");
          const { code, text, errors } = await planOn(host, AGENT_FLAGS);
          assertEquals([code, text], [0, ""], errors);
          await startAgent(site);
        });
        await t.step("much is wrong at once, and another host has come, and gone", async () => {
          const registry = localAccess(lab);
          await host.stopAgent("SIGKILL");
          for (const fault of FAULTS.filter(({ name }) => AT_ONCE.includes(name))) {
            for (const family of families) {
              if (applies(fault, mode, families)) await fault.make({ ...site, family });
            }
          }
          const key = await registry.put({ address: "192.0.2.77", mac: "02:00:00:00:00:77" });
          await compareRepair({ ...site, family: families[0]! });
          await host.stopAgent("SIGKILL");
          await registry.remove(key);
          await compareRepair({ ...site, family: families[0]! });
        });
        for (const fault of FAULTS) {
          const isDue = applies(fault, mode, families) && !OF_AGENT.test(fault.name) &&
            (isWhole || FAST[mode].includes(fault.name));
          if (!isDue) continue;
          const each = fault.family !== undefined
            ? [fault.family]
            : fault.isOfHost === true
            ? families.slice(0, 1)
            : isWhole
            ? families
            : families.slice(-1);
          for (const family of each) {
            const isRepaired = await t.step(`${fault.name} (${family === 2 ? "IPv4" : "IPv6"})`, async () => {
              await compareFault(fault, { ...site, family });
            });
            if (!isRepaired) return;
          }
        }
      });
    });
  }
}

/** Makes a fault while no agent runs, and holds a plan against what the agent then does. */
async function compareFault(fault: Fault, site: FaultSite): Promise<void> {
  await untilQuiet(site);
  await site.host.stopAgent("SIGKILL");
  await fault.make(site);
  if (fault.restore === undefined) return await compareRepair(site);
  if (fault.follows !== undefined && !NOT_UNTIL_RESTORED.test(fault.name)) {
    await compareRepair(site);
    await site.host.stopAgent("SIGKILL");
  }
  await fault.restore(site);
  await compareRepair(site);
}

/** Holds a plan against what the agent then does. */
async function compareRepair(site: FaultSite): Promise<void> {
  const { host } = site;
  const before = await hostObjects(host);
  const answer = await planOn(host, AGENT_FLAGS, "--json", "--all");
  assertEquals(await hostObjects(host), before, "the plan has changed something");
  const found = planIn(answer);
  assertEquals(found.stages.filter(({ unseen }) => unseen !== undefined), []);
  const changes = changesIn(found);
  await startAgent(site);
  const after = await hostObjects(host);
  assertEquals(plannedDifferences(changes, before), differences(before, after), answer.text);
  const settings = newLinkSettings(changes, before, after);
  assertEquals(settings.planned, settings.are);
  checkFiles(changes, before, after);
  assertEquals(answer.code, changes.length > 0 ? 2 : 0, answer.errors);
  await untilAsked(host);
  const settled = await planOn(host, AGENT_FLAGS);
  assertEquals([settled.code, settled.text], [0, ""], "once repaired there is nothing to do");
}

/** The lines of a file that a plan says are those that it then has. */
function checkFiles(changes: readonly PlannedChange[], before: HostObjects, after: HostObjects): void {
  for (const { object, becomes } of changes.filter(({ kind }) => kind === "file")) {
    const linesAt = (objects: HostObjects) => (objects.get(object) ?? "").split("\n").filter(Boolean);
    const old = linesAt(before);
    assertEquals(becomes?.split("; "), linesAt(after).filter((line) => !old.includes(line)));
  }
}

async function startAgent(site: Omit<FaultSite, "family">): Promise<void> {
  site.host.startAgent(AGENT_FLAGS);
  await untilReady(site.libc, site.host);
  await untilQuiet(site);
}
