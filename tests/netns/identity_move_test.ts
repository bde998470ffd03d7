import type { LabHost } from "../../src/lab/host.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import { onEveryRegistry, type RegistryOverlay } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addLink,
  addressOf,
  changeAddress,
  forgetNeighbours,
  ip,
  standingOf,
  underTraffic,
  untilAsBefore,
} from "../double/overlay_standing.ts";

/** An address of the segment that no host has at first. */
const ELSEWHERE = "192.0.2.101";

async function moveAndBack(overlay: RegistryOverlay): Promise<void> {
  const [h1] = hostsOf(overlay.lab);
  const before = await standingOf(overlay);
  await underTraffic(pairsWithout(overlay.lab, h1), async () => {
    await changeAddress(h1, addressOf(h1), ELSEWHERE);
    await untilAsBefore(overlay, before, new Map([[h1, ELSEWHERE]]));
    await changeAddress(h1, ELSEWHERE, addressOf(h1));
    await untilAsBefore(overlay, before);
  });
}

onEveryRegistry(
  "a host whose address changes while its agent runs, and changes back, keeps its lease and its subnet",
  { isOnRealServer: true },
  moveAndBack,
);

onEveryRegistry(
  "a host of both families whose IPv4 address changes, and changes back, keeps its lease and both subnets",
  { families: [AF_INET, AF_INET6] },
  moveAndBack,
);

onEveryRegistry(
  "a host whose address changes while its agent is stopped keeps its lease and its subnet",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    await underTraffic(pairsWithout(lab, h1), async () => {
      await h1.stopAgent("SIGTERM");
      await changeAddress(h1, addressOf(h1), ELSEWHERE);
      h1.startAgent(flags);
      await untilAsBefore(overlay, before, new Map([[h1, ELSEWHERE]]));
      await h1.stopAgent("SIGKILL");
      await changeAddress(h1, ELSEWHERE, addressOf(h1));
      h1.startAgent(flags);
      await untilAsBefore(overlay, before);
    });
  },
);

onEveryRegistry(
  "a host that is given another -public-ip, as behind another NAT address, keeps its lease and its subnet",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    await addNatAddress(h1);
    await underTraffic(pairsWithout(lab, h1), async () => {
      await h1.stopAgent();
      h1.startAgent([...flags, `-public-ip=${ELSEWHERE}`]);
      await untilAsBefore(overlay, before, new Map([[h1, ELSEWHERE]]));
      await h1.stopAgent();
      h1.startAgent(flags);
      await untilAsBefore(overlay, before);
    });
  },
);

onEveryRegistry(
  "two hosts that swap addresses while their agents are stopped keep each its own lease and subnet",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1, h2] = hostsOf(lab);
    const before = await standingOf(overlay);
    for (const signal of ["SIGTERM", "SIGKILL"] as const) {
      const [first, second] = signal === "SIGTERM"
        ? [addressOf(h1), addressOf(h2)]
        : [addressOf(h2), addressOf(h1)];
      await Promise.all([h1, h2].map((host) => host.stopAgent(signal)));
      // Not for a moment do both have one address.
      await changeAddress(h1, first, ELSEWHERE);
      await changeAddress(h2, second, first);
      await changeAddress(h1, ELSEWHERE, second);
      await forgetNeighbours(overlay);
      for (const host of [h1, h2]) host.startAgent(flags);
      await untilAsBefore(overlay, before, new Map([[h1, second], [h2, first]]));
    }
  },
);

/** Has packets for the other address reach the host, as a NAT does, without putting it on the underlay's link. */
async function addNatAddress(host: LabHost): Promise<void> {
  await addLink(host, "nat0");
  await ip(host, "address", "add", `${ELSEWHERE}/32`, "dev", "nat0");
}
