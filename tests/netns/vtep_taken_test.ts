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

/** Takes the VTEPs' port, says so with one byte, and stays. */
const TAKE = `Deno.listenDatagram({ transport: "udp", hostname: "0.0.0.0", port: 8472 });` +
  `Deno.stdout.writeSync(new Uint8Array(1)); await new Promise((end) => setTimeout(end, 60_000));`;

Deno.test("a program that has the VTEP's port is named, and all is whole once it is gone", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await h1.stopAgent();
    await ip(h1, "link", "delete", "flannel.1");
    const child = new Deno.Command("ip", {
      args: ["netns", "exec", h1.netns.name, Deno.execPath(), "eval", "--unstable-net", TAKE],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    try {
      const said = child.stdout.getReader({ mode: "byob" });
      await said.read(new Uint8Array(1));
      said.releaseLock();
      h1.startAgent();
      await untilUnready(
        libc,
        h1,
        `Cannot set link flannel.1 up: UDP port 8472 is in use by deno (process ${child.pid}); end it ` +
          '("ss -lnup sport = :8472" shows it), or choose another Port of the Backend, the same on all hosts',
      );
    } finally {
      child.kill("SIGKILL");
      await child.stdout.cancel();
      await child.status;
    }
    await untilReady(libc, h1);
    await untilReachable(lab);
  });
});

Deno.test("a VXLAN link that has the port with other options is named, and all is whole once it is gone", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1] = hostsOf(lab);
    await h1.stopAgent();
    await ip(h1, "link", "delete", "flannel.1");
    await ip(
      h1,
      "link",
      "add",
      "vx9",
      "type",
      "vxlan",
      "id",
      "9",
      "dstport",
      "8472",
      "gbp",
      "local",
      "192.0.2.1",
    );
    await ip(h1, "link", "set", "vx9", "up");
    h1.startAgent();
    await untilUnready(
      libc,
      h1,
      "Cannot set link flannel.1 up: UDP port 8472 is in use by the VXLAN link vx9, with other options; delete it " +
        "(ip link delete vx9)",
    );
    await ip(h1, "link", "delete", "vx9");
    await untilReady(libc, h1);
    await untilReachable(lab);
  });
});

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
