import { assertEquals, assertStringIncludes } from "@std/assert";
import { BridgeKeeper, type BridgeSituation } from "../../src/cli/bridge_keeper.ts";
import { parseAddress, parsePrefix } from "../../src/model/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EPERM } from "../../src/netlink/errno.ts";
import { Libc } from "../../src/netlink/ffi.ts";
import { TestNetns } from "../double/netns.ts";
import { refusing } from "../double/refusing.ts";

const OWN = [parsePrefix("10.244.5.0/24")];
/** The subnet whose pods are still there. */
const OLD = "10.244.21.1/24";
const NEW = "10.244.5.1/24";

/** What an administrator is told to do. */
const COMMANDS = [`replace ${NEW}`, `del ${OLD}`, `replace ${OLD}`].map((words) =>
  `ip address ${words} dev cni0`
);

const situation: BridgeSituation = {
  attachment: { bridge: "cni0", isForced: false, mtuBytes: 1450, network: "cbr0", networksDir: undefined },
  isNamed: true,
  own: OWN,
  held: [],
  reserved: [parseAddress("10.244.21.2")],
  inUse: [parseAddress("10.244.21.2")],
  others: () => [],
};

async function addressesOn(netns: TestNetns): Promise<string[]> {
  const [link] = await netns.ipJson("-4", "address", "show", "dev", "cni0");
  const { addr_info } = link as { addr_info: { local: string; prefixlen: number }[] };
  return addr_info.map(({ local, prefixlen }) => `${local}/${prefixlen}`);
}

// The steps: the new gateway comes, the old one goes, and comes again behind it.
const after: readonly string[][] = [[OLD], [OLD, NEW], [NEW]];
for (const [step, left] of after.entries()) {
  Deno.test(`a bridge whose change ${step} the kernel refuses is named, and mended by the next pass`, async () => {
    using libc = new Libc();
    await using netns = await TestNetns.create();
    await netns.ip("link", "add", "cni0", "up", "type", "bridge");
    await netns.ip("address", "add", OLD, "dev", "cni0");
    using transport = netns.openTransport(libc);
    let isRefusing = true;
    const [refused, open] = [
      new NetlinkClient(refusing(transport, step, EPERM)),
      new NetlinkClient(transport),
    ];
    const log: string[] = [];
    let nudges = 0;
    const keeper = new BridgeKeeper({
      get client() {
        return isRefusing ? refused : open;
      },
      elapsedMs: () => 0,
      networks: [parsePrefix("10.244.0.0/16")],
      changed: () => void nudges++,
      log: {
        write: (level, event) => void log.push(`${level} ${event}`),
        with() {
          return this;
        },
      },
    });
    keeper.keep(situation);
    assertEquals(await addressesOn(netns), left);
    const [finding] = keeper.findings;
    assertEquals([keeper.findings.length, finding!.isBlocking], [1, true]);
    assertStringIncludes(finding!.sentence, "EPERM");
    assertStringIncludes(finding!.sentence, `run "${COMMANDS.join("; ")}"`);
    assertEquals(
      nudges,
      step === 2 ? 1 : 0,
      "what was refused is no news, else the next pass would follow at once",
    );
    isRefusing = false;
    for (let pass = 0; pass < 2; pass++) keeper.keep(situation);
    assertEquals(keeper.findings, []);
    // What was lost half-way is not given again: its pods are to be re-created anyway.
    assertEquals(await addressesOn(netns), step === 2 ? [NEW] : [NEW, OLD]);
    assertEquals(log.filter((line) => line.startsWith("warn")).length, 1);
  });
}
