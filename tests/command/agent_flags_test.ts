import { assertEquals, assertThrows } from "@std/assert";
import { flagsToNote, notedFlagsPath, writeNotedFlags } from "../../src/agent/noted_flags.ts";
import { agentFlags, namesRegistry, readGivenFlags, readNoted } from "../../src/command/agent_flags.ts";
import { UsageError } from "../../src/config/usage_error.ts";

/** What a command knows of the flags where the last agent was started with `noted`. */
async function known(
  noted: readonly string[] | undefined,
  args: readonly string[],
  variables: Readonly<Record<string, string>> = {},
) {
  const folder = await Deno.makeTempDir({ prefix: "loden-flags-" });
  try {
    const subnetFile = `${folder}/subnet.env`;
    if (noted !== undefined) writeNotedFlags(notedFlagsPath(subnetFile), flagsToNote(noted, {}));
    const given = readGivenFlags("plan", [`-subnet-file=${subnetFile}`, ...args], variables);
    return agentFlags(given, readNoted(given));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const NOTED = [
  "-etcd-endpoints=http://192.0.2.1:2379",
  "-etcd-username=u",
  "-etcd-password=p",
  "-iface=eth0",
];

Deno.test("a password that is given goes with the name that the last agent has noted", async () => {
  const { options: { registry }, leftOut } = await known(NOTED, ["-etcd-password=p"]);
  assertEquals(registry.kind === "etcd" && registry.user, { name: "u", password: "p" });
  assertEquals(leftOut, []);
  assertEquals((await known(NOTED, [])).leftOut, ["-etcd-password"]);
});

Deno.test("a variable of the command is stronger than what is noted, which counts in all else", async () => {
  const { options } = await known(NOTED, [], { FLANNELD_IFACE: "eth1" });
  assertEquals(options.iface, ["eth1"]);
  assertEquals(options.registry.kind === "etcd" && options.registry.endpoints, ["http://192.0.2.1:2379"]);
});

Deno.test("readGivenFlags() refuses what asks for no agent, and tells whether a registry is named", () => {
  assertThrows(() => readGivenFlags("plan", ["-version"], {}), UsageError, "ask for no agent");
  assertEquals(namesRegistry(readGivenFlags("plan", ["-iface=eth0"], {})), false);
  assertEquals(namesRegistry(readGivenFlags("plan", ["-kube-subnet-mgr"], {})), true);
  assertEquals(namesRegistry(readGivenFlags("plan", [], { FLANNELD_ETCD_ENDPOINTS: "http://h:1" })), true);
});
