import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { agentLockPath, holdAgentLock } from "../../src/pods/agent_lock.ts";
import { compiledBinary } from "../../.ci/binary.ts";
import { replaceFile } from "../../src/file/replace_file.ts";
import { writeUnmanagedFiles } from "../../src/host/unmanaged_files.ts";
import { writeLease } from "../../src/registry/local/local_acquire.ts";
import { LocalFile } from "../../src/registry/local/local_file.ts";
import { type CommandResult, createUnderlayLink, TestNetns } from "../double/netns.ts";
import { lease } from "../registry/local/local_world.ts";

/** Where network managers have their files. */
const MANAGERS = ["etc/NetworkManager/conf.d", "etc/systemd/network"];
/**
 * `$1` is in the place of the machine's /etc for the rest of the line, and for nobody else: ip-netns(8) unshares mounts.
 * There are no certificates in it.
 */
const WITH_ETC = 'mount --bind "$1" /etc; shift; unset DENO_TLS_CA_STORE; exec "$@"';
const OUR_CONFLIST = JSON.stringify({ name: "cbr0", plugins: [{ type: "flannel" }] });

/** What stays of a host's files. */
const OTHERS = ["bin/flannel", ...MANAGERS.map((path) => `${path}/10-other.conf`), "net.d/20-other.conflist"];

/** A host with all that Loden and flannel leave on it, and things of others beside each of them. */
class Member implements AsyncDisposable {
  private constructor(readonly netns: TestNetns, readonly folder: string) {}

  static async create(): Promise<Member> {
    const member = new Member(
      await TestNetns.create(),
      await Deno.makeTempDir({ prefix: "lodentest-node-" }),
    );
    const { netns } = member;
    await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24", address6: "2001:db8::1/64" });
    const vxlan = (name: string, id: string, port: string) =>
      netns.ip("link", "add", name, "type", "vxlan", "id", id, "dstport", port, "local", "192.0.2.1");
    await vxlan("flannel.1", "1", "8472");
    await vxlan("flannel.7", "8", "8473");
    await vxlan("vxlan2", "2", "8474");
    const v6 = ["type", "vxlan", "id", "1", "dstport", "8475", "local", "2001:db8::1"];
    await netns.ip("link", "add", "flannel-v6.1", ...v6);
    await netns.ip("link", "set", "flannel.1", "up");
    await netns.ip("link", "add", "cni0", "type", "bridge");
    await netns.ip("link", "add", "br0", "type", "bridge");
    await netns.ip(
      "nexthop",
      "add",
      "id",
      "1",
      "via",
      "192.0.2.2",
      "dev",
      "flannel.1",
      "onlink",
      "protocol",
      "76",
    );
    await netns.ip("nexthop", "add", "id", "2", "via", "192.0.2.3", "dev", "eth0", "protocol", "76");
    await netns.ip("nexthop", "add", "id", "3", "via", "192.0.2.4", "dev", "eth0", "protocol", "77");
    await netns.ip("route", "add", "10.244.2.0/24", "nhid", "1", "protocol", "76");
    await netns.ip("route", "add", "10.244.3.0/24", "nhid", "2", "protocol", "76");
    await netns.ip("route", "add", "10.244.4.0/24", "via", "192.0.2.9", "protocol", "76");
    await netns.ip("route", "add", "10.9.0.0/24", "via", "192.0.2.9", "protocol", "boot");
    await netns.ip("-6", "route", "add", "fd00:4::/64", "via", "2001:db8::9", "protocol", "76");
    const blackhole = (subnet: string) =>
      netns.ip("route", "add", "blackhole", subnet, "protocol", "76", "metric", "4294967295");
    await blackhole("10.244.1.0/24");
    await blackhole("fd00:1::/64");
    for (const path of ["run", "state", "net.d", "bin"]) await Deno.mkdir(member.path(path));
    for (const name of ["subnet.env", "leases.json", "agent.json", "history.json"]) {
      await member.write(`run/${name}`, "");
    }
    await member.write("net.d/10-flannel.conflist", OUR_CONFLIST);
    await member.write("net.d/20-other.conflist", OUR_CONFLIST);
    await member.write("bin/flannel", "another program");
    await member.write("state/c1@eth0", '{"name":"cbr0","type":"bridge"}');
    await Deno.symlink("c1@eth0", member.path("state/c1"));
    for (const path of MANAGERS) {
      await Deno.mkdir(member.path(path), { recursive: true });
      await member.write(`${path}/10-other.conf`, "mine");
    }
    writeUnmanagedFiles({ root: member.folder, replaceFile });
    await member.write("state/c2", '{"name":"cbr0","type":"bridge"}');
    using file = new LocalFile(member.registry);
    file.transaction("IMMEDIATE", "write leases", () => {
      writeLease(file, lease("192.0.2.1", "10.244.1.0/24", "192.0.2.1"), "write a lease");
      writeLease(file, lease("192.0.2.2", "10.244.2.0/24", "192.0.2.2"), "write a lease");
    });
    return member;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  get registry(): string {
    return this.path("registry.db");
  }

  write(name: string, text: string): Promise<void> {
    return Deno.writeTextFile(this.path(name), text);
  }

  /** `loden cleanup --node`, the binary, with everything in this host's own folder. */
  async cleanup(...args: string[]): Promise<CommandResult> {
    return await this.netns.run(
      "sh",
      ...["-ec", WITH_ETC, "sh", this.path("etc")],
      ...[await compiledBinary(), "cleanup"],
      "--node",
      `--data-dir=${this.path("state")}`,
      `-subnet-file=${this.path("run/subnet.env")}`,
      `-lease-cache=${this.path("run/leases.json")}`,
      `-cni-conf=${this.path("net.d/10-flannel.conflist")}`,
      `-cni-bin-dir=${this.path("bin")}`,
      `-local-registry=${this.registry}`,
      ...args,
    );
  }

  hosts(): string[] {
    using file = new LocalFile(this.registry);
    return file.rows("read hosts", "SELECT host FROM lease ORDER BY host").map(([host]) => String(host));
  }

  /** All files in a folder of this host. */
  async files(): Promise<string[]> {
    const found: string[] = [];
    for (const folder of ["run", "state", "net.d", "bin", ...MANAGERS]) {
      try {
        for await (const { name } of Deno.readDir(this.path(folder))) found.push(`${folder}/${name}`);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
    return found.sort();
  }

  /** Everything that a cleanup could touch, as text. */
  async everything(): Promise<string> {
    const { netns } = this;
    const shown = await Promise.all([
      netns.ip("link", "show"),
      netns.ip("route", "show"),
      netns.ip("-6", "route", "show"),
      netns.ip("nexthop", "show"),
    ]);
    return [...shown, (await this.files()).join("\n"), this.hosts().join()].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.netns[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

function onMember(name: string, body: (member: Member) => Promise<void>): void {
  Deno.test(name, async () => {
    await using member = await Member.create();
    await body(member);
  });
}

onMember("cleanup --node removes what is ours, and only that, as its dry run says", async (member) => {
  const before = await member.everything();
  const dry = await member.cleanup("--dry-run");
  assertEquals([dry.code, dry.stderr], [0, ""]);
  assertEquals(await member.everything(), before, "a dry run changes nothing");
  const { folder } = member;
  assertEquals(dry.stdout.trim().split("\n"), [
    `would remove conflist ${folder}/net.d/10-flannel.conflist`,
    "would delete link flannel.1",
    "would delete link flannel-v6.1",
    "would delete link cni0",
    "would delete route 10.244.1.0/24",
    "would delete route 10.244.3.0/24 on eth0",
    "would delete route 10.244.4.0/24 on eth0",
    "would delete route fd00:1::/64 on lo",
    "would delete route fd00:4::/64 on eth0",
    "would delete next hop 1",
    "would delete next hop 2",
    `would remove subnet file ${folder}/run/subnet.env`,
    `would remove lease cache ${folder}/run/leases.json`,
    `would remove agent's state ${folder}/run/agent.json`,
    `would remove host's history ${folder}/run/history.json`,
    "would remove network manager's file /etc/NetworkManager/conf.d/zz-loden.conf",
    "would remove network manager's file /etc/systemd/network/00-loden.network",
    "would remove network manager's file /etc/systemd/network/00-loden.link",
    `would remove state folder ${folder}/state`,
    `would remove lease of 192.0.2.1 in ${folder}/registry.db`,
    `left alone: plugin ${folder}/bin/flannel: it is another program than this one`,
  ]);

  const real = await member.cleanup();
  assertEquals([real.code, real.stderr], [0, ""], real.stdout);
  assertEquals(real.stdout, dry.stdout.replaceAll(/^would (delete|remove)/gm, "$1d"));
  const { netns } = member;
  const links = (await netns.ipJson("link", "show")).map(({ ifname }) => ifname);
  assertEquals(links.sort(), ["br0", "eth0", "eth0-p", "flannel.7", "lo", "vxlan2"]);
  assertEquals(
    (await netns.ip("route", "show")).trim().split("\n").map((line) => line.split(" ")[0]).sort(),
    ["10.9.0.0/24", "192.0.2.0/24", "default"],
  );
  const routes6 = await netns.ip("-6", "route", "show");
  assertEquals([routes6.includes("fd00:4::"), routes6.includes("fd00:1::")], [false, false]);
  assertEquals((await netns.ipJson("nexthop", "show")).map(({ id }) => id), [3]);
  assertEquals(await member.files(), OTHERS);
  assertEquals(member.hosts(), ["192.0.2.2"]);

  const again = await member.cleanup();
  assertEquals([again.code, again.stdout.split("\n")[1]], [0, "nothing of ours is here"]);
});

onMember("cleanup --node leaves the bridge and the state while a pod is attached", async (member) => {
  await member.netns.ip("link", "add", "veth1", "type", "veth", "peer", "name", "veth2");
  await member.netns.ip("link", "set", "veth1", "master", "cni0");
  const { code, stdout } = await member.cleanup();
  assertEquals(code, 0, stdout);
  assertStringIncludes(stdout, "left alone: link cni0: a pod is attached to it\n");
  assertStringIncludes(stdout, "pods are attached that can't be detached without it\n");
  assert((await member.files()).includes("state/c1@eth0"));
  assertStringIncludes(await member.netns.ip("link", "show", "cni0"), "cni0");
});

onMember("cleanup --node goes on where a step fails, ends with 1 and names what is left", async (member) => {
  const notes = "state/notes";
  await member.write(notes, "mine");
  await Deno.remove(member.path("run/leases.json"));
  await Deno.mkdir(member.path("run/leases.json/x"), { recursive: true });
  const { code, stdout } = await member.cleanup();
  assertEquals(code, 1);
  const { folder } = member;
  assertStringIncludes(stdout, `Cannot remove lease cache ${folder}/run/leases.json: `);
  assertStringIncludes(stdout, `Cannot remove state folder ${folder}/state: a file in it is not state\n`);
  assertStringIncludes(
    stdout,
    `Not cleaned up: lease cache ${folder}/run/leases.json; state folder ${folder}/state; mend`,
  );
  assertEquals(await member.files(), [...OTHERS, "run/leases.json", notes]);
  assertEquals(member.hosts(), ["192.0.2.2"]);
});

onMember("cleanup --node goes on where the registry is away, and says so", async (member) => {
  const { code, stdout } = await member.cleanup("-local-registry=", "-etcd-endpoints=http://127.0.0.1:1");
  assertEquals(code, 1);
  assertStringIncludes(
    stdout,
    "Cannot look for the lease: Cannot read the leases under /coreos.com/network/subnets/",
  );
  assertStringIncludes(stdout, "\ndeleted link flannel.1\n");
  assertStringIncludes(stdout, "Not cleaned up: the lease; mend");
  assertEquals(await member.files(), OTHERS);
});

const foreign: [name: string, text: string][] = [
  ["of another plugin", JSON.stringify({ name: "k8s-pod-network", plugins: [{ type: "calico" }] })],
  ["that is no JSON", "{"],
];
for (const [name, text] of foreign) {
  onMember(`cleanup --node leaves a conflist ${name}`, async (member) => {
    await member.write("net.d/10-flannel.conflist", text);
    const { stdout } = await member.cleanup();
    const path = member.path("net.d/10-flannel.conflist");
    assertStringIncludes(stdout, `left alone: conflist ${path}: it is neither ours nor flannel's\n`);
    assertEquals(await Deno.readTextFile(path), text);
  });
}

onMember("cleanup --node does nothing while an agent holds its lock", async (member) => {
  const before = await member.everything();
  {
    using lock = holdAgentLock(member.path("run/subnet.env"));
    assert(lock !== undefined);
    assertEquals(holdAgentLock(member.path("run/subnet.env")), undefined, "one agent holds it");
    const { code, stdout, stderr } = await member.cleanup();
    assertEquals([code, stdout], [1, ""]);
    assertEquals(
      stderr,
      "loden: Cannot clean up this host: an agent runs here (it holds its lock); end it first\n",
    );
    await Deno.remove(agentLockPath(member.path("run/subnet.env")));
  }
  assertEquals(await member.everything(), before);
  assertEquals((await member.cleanup()).code, 0, "a lock that no agent holds stops no cleanup");
});

onMember("cleanup --node does nothing while an agent answers at its port", async (member) => {
  const before = await member.everything();
  const server = new Deno.Command("ip", {
    args: [
      ...["netns", "exec", member.netns.name, Deno.execPath(), "eval"],
      "Deno.serve({ port: 9999, onListen: () => console.log('up') }, () => new Response('ok'))",
    ],
    stdout: "piped",
  }).spawn();
  const reader = server.stdout.getReader();
  try {
    await reader.read();
    const { code, stderr } = await member.cleanup("-healthz-port=9999");
    assertEquals(code, 1);
    assertEquals(
      stderr,
      "loden: Cannot clean up this host: an agent runs here (it answers at 127.0.0.1:9999); end it first\n",
    );
    assertEquals(await member.everything(), before);
  } finally {
    server.kill("SIGKILL");
    await server.status;
    await reader.cancel();
  }
  assertEquals((await member.cleanup("-healthz-port=9999")).code, 0);
});
