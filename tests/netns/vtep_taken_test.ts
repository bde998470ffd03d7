import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import {
  hostsOf,
  untilReachable,
  untilReady,
  untilSettled,
  untilUnready,
  withOverlay,
} from "../double/overlay_rig.ts";
import { ip } from "../double/overlay_standing.ts";

const FAMILIES = [[AF_INET, "flannel.1"], [AF_INET6, "flannel-v6.1"]] as const;

for (const [family, name] of FAMILIES) {
  const options = { hosts: 2, families: [AF_INET, AF_INET6] } as const;
  const what = family === AF_INET ? "IPv4" : "IPv6";

  Deno.test(`a VTEP that was renamed is named as the one in the way, and all is whole once it is gone, ${what}`, async () => {
    await withOverlay({ ...options, families: [...options.families] }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1] = hostsOf(lab);
      await ip(h1, "link", "set", name, "down");
      await ip(h1, "link", "set", name, "name", "old0");
      await untilUnready(
        libc,
        h1,
        `Cannot create link ${name}: link old0 has VNI 1 and port 8472; delete it`,
      );
      await ip(h1, "link", "delete", "old0");
      await untilReady(libc, h1);
      await untilReachable(lab);
    });
  });

  Deno.test(`a VTEP that was moved to another network namespace is said to be there, ${what}`, async () => {
    await withOverlay({ ...options, families: [...options.families] }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1] = hostsOf(lab);
      await ip(h1, "link", "set", name, "netns", h1.pod.netns.name);
      await untilUnready(
        libc,
        h1,
        `Cannot create link ${name}: a link that was moved to another network namespace has`,
      );
      await h1.pod.netns.mustExec("ip", "link", "delete", name);
      await untilReady(libc, h1);
      await untilReachable(lab);
    });
  });
}
