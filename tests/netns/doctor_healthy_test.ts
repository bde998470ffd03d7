import { assert, assertEquals } from "@std/assert";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";
import type { Finding } from "../../src/command/doctor/finding.ts";
import { agentCommand, hostsOf, untilReady, untilSettled, withOverlay } from "../double/overlay_rig.ts";
import { askDoctor, notOk, untilAsked } from "./doctor_rig.ts";

const V4 = { Network: "10.244.0.0/16" };
const V6 = { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" };

const hosts: readonly (readonly [name: string, networkConfig: Record<string, unknown>, isDual: boolean])[] = [
  ["vxlan", { ...V4, Backend: { Type: "vxlan" } }, false],
  ["vxlan with IPv6", { ...V4, ...V6, Backend: { Type: "vxlan" } }, true],
  ["host-gw", { ...V4, Backend: { Type: "host-gw" } }, false],
  ["auto", { ...V4, Backend: { Type: "auto" } }, false],
  ["alloc", { ...V4, Backend: { Type: "alloc" } }, false],
];

for (const [name, networkConfig, isDual] of hosts) {
  Deno.test(`the doctor finds nothing on a healthy host of ${name}, and says little where no agent runs`, async () => {
    const families = isDual ? [AF_INET, AF_INET6] as const : [AF_INET] as const;
    await withOverlay({ hosts: 2, networkConfig, families }, async (lab, libc) => {
      const [h1, h2] = hostsOf(lab);
      if (name === "alloc") { for (const host of [h1, h2]) await untilReady(libc, host); }
      else await untilSettled(lab, libc);
      await untilAsked(h1);
      const root = await Deno.makeTempDir({ dir: lab.directory, prefix: "root-" });
      const words = await askDoctor(h1, { root });
      assertEquals(notOk(words), []);
      assertEquals(words.code, 0);
      assert(words.durationMs < 10_000, `${words.durationMs} ms`);
      // The program itself may do less than this process, and needs no flags where the agent has noted its own.
      const program = [...agentCommand.slice(0, -1), "doctor", "--json", `-subnet-file=${h1.subnetFilePath}`];
      const { stdout, stderr } = await h1.exec(program[0]!, ...program.slice(1));
      assertEquals(stderr, "");
      const said = JSON.parse(stdout).findings as Finding[];
      assertEquals(said.filter(({ verdict }) => verdict === "wrong" || verdict === "unseen"), []);
      await h1.stopAgent();
      const without = await askDoctor(h1, { root });
      assertEquals(notOk(without), [
        "doubtful agent: no agent runs on this host any more: it was told to end",
      ]);
      assertEquals(without.code, 0);
      await Deno.remove(root, { recursive: true });
    });
  });
}
