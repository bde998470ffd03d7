import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { FAMILIES, formatAddress } from "../../src/model/address.ts";
import { agentCommand, hostsOf, until, untilSettled, withOverlay } from "../double/overlay_rig.ts";

/** What `loden explain --json` prints, as far as it is read here. */
interface Answer {
  readonly broken: boolean;
  readonly host: string | null;
  readonly cause: { readonly code: string; readonly text: string } | null;
  readonly links: readonly { readonly state: string; readonly code: string; readonly text: string }[];
}

async function explain(
  host: LabHost,
  ...args: string[]
): Promise<{ readonly code: number; readonly answer: Answer; readonly text: string }> {
  const [program, ...before] = agentCommand.slice(0, -1);
  const subnetFile = `--subnet-file=${host.subnetFilePath}`;
  const { code, stdout, stderr } = await host.netns.exec(
    program!,
    ...before,
    "explain",
    subnetFile,
    "--json",
    ...args,
  );
  assert(stdout.startsWith("{"), stderr);
  return { code, answer: JSON.parse(stdout), text: stdout };
}

for (const Type of ["vxlan", "host-gw", "auto"]) {
  Deno.test(`explain finds nothing wrong on hosts of ${Type} that are well, in both families, and says who holds an address`, async () => {
    const networkConfig = {
      Network: "10.244.0.0/16",
      EnableIPv6: true,
      IPv6Network: "fd00:10:244::/56",
      Backend: { Type },
    };
    await withOverlay({ hosts: 2, families: FAMILIES, networkConfig }, async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      for (const address of h2.pod.addresses.map(formatAddress)) {
        for (const args of [[address], [address, "--live"]]) {
          const { code, answer, text } = await explain(h1, ...args);
          assertEquals([code, answer.broken], [0, false], text);
          assertEquals(answer.links.filter(({ state }) => state !== "ok"), [], text);
          assert(answer.host !== null, text);
        }
      }
      const own = await explain(h1, formatAddress(h1.pod.addresses[0]!));
      assertEquals(own.code, 0, own.text);
    });
  });
}

Deno.test("explain names what another program has put in front of the overlay, and the agent's answer goes on when it is gone", async () => {
  await withOverlay(
    { hosts: 2, networkConfig: { Network: "10.244.0.0/16", Backend: { Type: "vxlan" } } },
    async (lab, libc) => {
      await untilSettled(lab, libc);
      const [h1, h2] = hostsOf(lab);
      const target = formatAddress(h2.pod.addresses[0]!);
      await h1.netns.mustExec("ip", "rule", "add", "to", "10.244.0.0/16", "blackhole", "priority", "77");
      const broken = await explain(h1, target);
      assertEquals([broken.code, broken.answer.cause?.code], [1, "rule-refuses"], broken.text);
      assert(broken.answer.cause!.text.includes("77: from all to 10.244.0.0/16 blackhole"), broken.text);
      await h1.netns.mustExec("ip", "rule", "delete", "priority", "77");
      await until("see it well again", async () => (await explain(h1, target)).code === 0 || undefined);
    },
  );
});
