import { assertEquals, assertRejects } from "@std/assert";
import { AgentDoor } from "../../../src/agent/agent_door.ts";
import { runExplain } from "../../../src/command/explain/explain.ts";
import type { Output } from "../../../src/command/output.ts";
import { UsageError } from "../../../src/config/usage_error.ts";
import { Libc } from "../../../src/linux/libc.ts";
import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { StatusDeps } from "../../../src/status/facts.ts";
import { until } from "../../double/overlay_rig.ts";
import { OWN, READY } from "../../status/facts.ts";

async function run(...args: string[]): Promise<{ readonly code: number; readonly said: string }> {
  const said: string[] = [];
  const output = { say: (text: string) => said.push(text) } as unknown as Output;
  const { signal } = new AbortController();
  const code = await runExplain(args, { output, signal });
  return { code, said: said.join("\n") };
}

const refused: [args: readonly string[], why: string][] = [
  [[], "no address is named"],
  [["10.244.2.5", "10.244.2.6"], "two are"],
  [["10.244.2"], "an octet is missing"],
  [["10.244.2.0/24"], "it is a prefix"],
  [["pod-1"], "it is a name"],
  [["fe80::1%eth0"], "it has a zone"],
  [["10.244.2.5", "--from=x"], "the source is none"],
  [["10.244.2.5", "--from=fd00::1"], "the source is of the other family"],
  [["10.244.2.5", "--from=198.51.100.77"], "the source is neither this host's nor a pod's"],
  [["10.244.2.5", "--from=224.0.0.1"], "the source is a group"],
  [["255.255.255.255"], "it is the broadcast address"],
  [["224.0.0.1"], "it is a group of hosts"],
  [["ff02::1"], "it is a group of hosts, in IPv6"],
  [["0.0.0.0"], "it is no host's"],
  [["::"], "it is no host's, in IPv6"],
  [["10.244.2.5", "--live=soon"], "the duration is none"],
  [["10.244.2.5", "--form=10.244.1.5"], "there is no such flag"],
];

for (const [args, why] of refused) {
  Deno.test(`explain refuses "${args.join(" ")}" because ${why}`, async () => {
    const error = await assertRejects(() => run(...args), UsageError);
    assertEquals(error.message.split("\n").length, 1);
  });
}

Deno.test("explain --help fits a screen", async () => {
  const { code, said } = await run("--help");
  const lines = said.split("\n");
  assertEquals([code, lines.length < 24, lines.every(({ length }) => length <= 100)], [0, true, true]);
});

Deno.test("explain asks the agent of the subnet file who holds an address", async () => {
  using libc = new Libc();
  const folder = await Deno.makeTempDir({ prefix: "loden-explain-" });
  const subnetFilePath = `${folder}/subnet.env`;
  await Deno.writeTextFile(
    subnetFilePath,
    "FLANNEL_NETWORK=10.99.0.0/16\nFLANNEL_SUBNET=10.99.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
  );
  const peer = {
    host: "h2",
    backendType: "vxlan",
    parts: [{
      subnet: parsePrefix("10.99.2.0/24"),
      underlayAddress: parseAddress("192.0.2.2"),
      backendData: { VtepMAC: "0e:2a:00:00:00:02" },
    }],
  };
  const overlay = {
    backend: "vxlan",
    carriage: "tunnel",
    leaseType: "vxlan",
    mtuBytes: 1450,
    leases: [OWN, peer],
  } as const;
  let facts: StatusDeps = { ...READY, overlay: () => overlay };
  const abort = new AbortController();
  await using door = new AgentDoor({ libc, subnetFilePath, isOurs: () => true, current: () => facts });
  const running = door.run(abort);
  try {
    type Said = { readonly links: readonly { readonly code: string }[]; readonly host: string | null };
    const explain = async (address: string) =>
      JSON.parse((await run(address, `--subnet-file=${subnetFilePath}`, "--json")).said) as Said;
    const lease = await until("be answered", async () => {
      const said = await explain("10.99.2.5");
      return said.links[0]!.code === "registry-unasked" ? undefined : said;
    });
    assertEquals([lease.host, lease.links[0]!.code], ["h2", "lease"]);
    assertEquals((await explain("10.99.3.5")).links[0]!.code, "no-lease");
    facts = { ...facts, overlay: () => ({ ...overlay, leases: undefined }) };
    assertEquals((await explain("10.99.2.5")).links[0]!.code, "registry-unasked");
  } finally {
    abort.abort();
    await running;
    await Deno.remove(folder, { recursive: true });
  }
});
