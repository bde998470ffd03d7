import type { LabHost } from "../../src/lab/host.ts";
import { namesIn } from "../../src/lab/names.ts";
import { onEveryRegistry } from "../double/overlay_registries.ts";
import { hostsOf } from "../double/overlay_rig.ts";
import { pairsWithout } from "../double/overlay_servers.ts";
import {
  addressOf,
  changeAddress,
  ip,
  standingOf,
  underTraffic,
  untilAsBefore,
} from "../double/overlay_standing.ts";

const ELSEWHERE = "192.0.2.101";
/** A holder has to be silent for a while before a host that proves less than it may take its place. */
const SILENCE_DEADLINE_MS = 45_000;

onEveryRegistry(
  "a host that is rebooted, and gets another address, has its lease and its subnet again",
  {},
  async (overlay) => {
    const { lab, flags } = overlay;
    const [h1] = hostsOf(lab);
    const before = await standingOf(overlay);
    await underTraffic(pairsWithout(lab, h1), async () => {
      await h1.stopAgent("SIGKILL");
      await loseAllOfRun(h1);
      await ip(h1, "link", "delete", "flannel.1");
      await changeAddress(h1, addressOf(h1), ELSEWHERE);
      h1.startAgent(flags);
      await untilAsBefore(overlay, before, new Map([[h1, ELSEWHERE]]), SILENCE_DEADLINE_MS);
    });
  },
);

/** Removes what a host keeps in /run; what it keeps in /etc and /var stays. */
async function loseAllOfRun({ directory }: LabHost): Promise<void> {
  for (const name of await namesIn(directory)) {
    if (name !== "machine-id" && name !== "agent.log") {
      await Deno.remove(`${directory}/${name}`, { recursive: true });
    }
  }
}
