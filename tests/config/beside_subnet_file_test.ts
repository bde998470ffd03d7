import { assertEquals } from "@std/assert";
import { agentLockPath } from "../../src/pods/agent_lock.ts";
import { agentStatePath } from "../../src/pods/agent_state.ts";
import { besideSubnetFile } from "../../src/config/beside_subnet_file.ts";
import { parseOptions } from "../../src/config/options.ts";
import { bootIdentityPath } from "../../src/host/boot_identity.ts";

const places: [subnetFile: string, path: string, why: string][] = [
  ["/run/flannel/subnet.env", "/run/flannel/boot.json", "the usual name keeps the names of before"],
  ["/run/other/subnet.env", "/run/other/boot.json", "in any folder"],
  ["/run/flannel/red.env", "/run/flannel/red.env.boot.json", "another name has files of its own"],
  ["/run/flannel/red", "/run/flannel/red.boot.json", "two that differ in their ending only differ too"],
];

for (const [subnetFile, path, why] of places) {
  Deno.test(`besideSubnetFile() puts boot.json of ${subnetFile} at ${path}: ${why}`, () => {
    assertEquals(besideSubnetFile(subnetFile, "boot.json"), path);
  });
}

Deno.test("what an agent keeps beside its subnet file is its own", () => {
  const files = [agentLockPath, agentStatePath, bootIdentityPath].map((pathOf) =>
    ["/run/flannel/subnet.env", "/run/flannel/red.env"].map(pathOf)
  );
  assertEquals(files, [
    ["/run/flannel/agent.lock", "/run/flannel/red.env.agent.lock"],
    ["/run/flannel/agent.json", "/run/flannel/red.env.agent.json"],
    ["/run/flannel/boot.json", "/run/flannel/red.env.boot.json"],
  ]);
});

const caches: [argv: string[], path: string | undefined][] = [
  [[], "/run/flannel/leases.json"],
  [["-subnet-file=/run/flannel/subnet.env"], "/run/flannel/leases.json"],
  [["-subnet-file=/run/flannel/red.env"], "/run/flannel/red.env.leases.json"],
  [["-subnet-file=/run/red/subnet.env"], "/run/red/leases.json"],
  [["-subnet-file=/run/flannel/red.env", "-lease-cache=/var/red.json"], "/var/red.json"],
  [["-subnet-file=/run/flannel/red.env", "-lease-cache="], undefined],
];

for (const [argv, path] of caches) {
  Deno.test(`with ${argv.join(" ") || "no flags"} the lease cache is ${path ?? "not kept"}`, () => {
    const outcome = parseOptions(argv, {});
    assertEquals(outcome.kind === "run" && outcome.options.leaseCachePath, path);
  });
}
