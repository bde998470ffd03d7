import { assert, assertEquals } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import type { Verdict } from "../../src/command/doctor/finding.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { spawnInNetns } from "../../src/lab/command.ts";
import { until, untilReady, untilSettled, untilUnready, withOverlay } from "../double/overlay_rig.ts";
import { askDoctor, type DoctorWords, flagsOf, notOk, says, untilAsked } from "./doctor_rig.ts";

/** A host whose agent has ended, and a folder for the files that would be in its `/`. */
interface Prepared {
  readonly host: LabHost;
  readonly root: string;
  readonly stack: AsyncDisposableStack;
  /** Flags and wrapping that the doctor is run with. */
  readonly flags: string[];
}

/** What is done to a host, and what the doctor must say of it. */
interface Fault {
  readonly name: string;
  readonly prepare: (prepared: Prepared) => Promise<unknown>;
  readonly check: string;
  readonly verdict: Verdict;
  readonly words: string;
}

const FLANNEL = JSON.stringify({ name: "cbr0", plugins: [{ type: "flannel" }, { type: "portmap" }] });
const CALICO = JSON.stringify({ name: "k8s-pod-network", plugins: [{ type: "calico" }] });
const CLOUD_INIT = "updates:\n  network:\n    when: ['boot', 'hotplug']\n";

async function write({ root }: Prepared, path: string, text: string): Promise<void> {
  const whole = `${root}/${path}`;
  await Deno.mkdir(whole.slice(0, whole.lastIndexOf("/")), { recursive: true });
  await Deno.writeTextFile(whole, text);
}

async function linkIndex(host: LabHost, name: string): Promise<string> {
  return (await host.exec("cat", `/sys/class/net/${name}/ifindex`)).stdout.trim();
}

/** A process of that name in the host's namespace: a copy of sleep(1). */
async function run({ host, root, stack }: Prepared, program: string): Promise<void> {
  const path = `${root}/${program}`;
  await Deno.copyFile("/bin/sleep", path);
  const child = spawnInNetns(host.netns.name, [path, "600"], Deno.env.toObject());
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.status;
  });
  await until(`see ${program}`, async () => {
    const { stdout } = await host.exec("ps", "-p", String(child.pid), "-o", "comm=");
    return stdout.trim() === program.slice(0, 15) || undefined;
  });
}

/** A program of Deno in the host's namespace, until it has said that it is there. */
async function runScript({ host, stack }: Prepared, script: string): Promise<void> {
  const command = new Deno.Command("ip", {
    args: ["netns", "exec", host.netns.name, Deno.execPath(), "eval", "--ext=js", script],
    stdout: "piped",
    stderr: "null",
  });
  const child = command.spawn();
  const reader = child.stdout.getReader();
  stack.defer(async () => {
    child.kill("SIGKILL");
    await child.status;
    await reader.cancel();
  });
  const { done } = await reader.read();
  if (done) throw new Error("Cannot run a program in the host: it has ended");
}

const nft = ({ host }: Prepared, ...words: string[]) => host.netns.mustExec("nft", words.join(" "));
const ip = ({ host }: Prepared, ...words: string[]) => host.netns.mustExec("ip", ...words);

/** None of these hides another, so that they are all on one host at once. */
const AT_ONCE: readonly Fault[] = [
  {
    name: "forwarding is off",
    prepare: ({ host }) => Promise.resolve(host.netns.writeSysctl("net/ipv4/ip_forward", "0")),
    check: "sysctls",
    verdict: "doubtful",
    words: "net.ipv4.ip_forward is 0",
  },
  {
    name: "the VTEP drops what is answered over another link",
    prepare: ({ host }) => Promise.resolve(host.netns.writeSysctl("net/ipv4/conf/flannel.1/rp_filter", "1")),
    check: "sysctls",
    verdict: "doubtful",
    words: "rp_filter is 1",
  },
  {
    name: "the underlay became narrower",
    prepare: (prepared) => ip(prepared, "link", "set", "eth0", "mtu", "1400"),
    check: "mtu",
    verdict: "wrong",
    words: "eth0 carries 1400",
  },
  {
    name: "Calico has left a link",
    prepare: (prepared) => ip(prepared, "link", "add", "cali0123456789a", "type", "bridge"),
    check: "other-overlays",
    verdict: "doubtful",
    words: "Calico has left link cali0123456789a",
  },
  {
    name: "Cilium has left a link and a chain",
    prepare: async (prepared) => {
      await ip(prepared, "link", "add", "cilium_host", "type", "bridge");
      await nft(prepared, "add table ip raw; add chain ip raw CILIUM_PRE_raw");
    },
    check: "other-overlays",
    verdict: "doubtful",
    words: "Cilium has left link cilium_host, chain CILIUM_PRE_raw",
  },
  {
    name: "INPUT drops what it does not accept",
    prepare: (prepared) =>
      nft(
        prepared,
        "add table inet guard; add chain inet guard input { type filter hook input priority 0; policy drop; };",
        "add rule inet guard input iif lo accept",
      ),
    check: "input",
    verdict: "doubtful",
    words: "chain input of table inet guard drops",
  },
  {
    name: "forwarded packets are dropped",
    prepare: (prepared) =>
      nft(prepared, "add chain inet guard forward { type filter hook forward priority 0; policy drop; }"),
    check: "forward",
    verdict: "doubtful",
    words: "chain forward of table inet guard has policy drop",
  },
  {
    name: "what pods send is dropped by a map",
    prepare: (prepared) =>
      nft(
        prepared,
        "add table inet maps; add chain inet maps forward { type filter hook forward priority 5; }; " +
          "add rule inet maps forward iifname vmap { lo : accept, cni0 : drop }",
      ),
    check: "forward",
    verdict: "doubtful",
    words: "table inet maps drops by a map what is forwarded over cni0",
  },
  {
    name: "our rules are gone",
    prepare: (prepared) => nft(prepared, "delete table ip loden-10.244.0.0-16"),
    check: "forward",
    verdict: "doubtful",
    words: "rules for pods are not as they must be",
  },
  {
    name: "firewalld is active",
    prepare: (prepared) => nft(prepared, "add table inet firewalld; add chain inet firewalld filter_INPUT"),
    check: "firewall-managers",
    verdict: "doubtful",
    words: "firewalld is active",
  },
  {
    name: "ufw is active",
    prepare: (prepared) => write(prepared, "etc/ufw/ufw.conf", "ENABLED=yes\n"),
    check: "firewall-managers",
    verdict: "doubtful",
    words: "ufw is active",
  },
  {
    name: "both iptables are in use",
    prepare: async ({ host }) => {
      await host.netns.mustExec("iptables-legacy", "--wait", "-A", "INPUT", "-i", "lo", "-j", "ACCEPT");
      await host.netns.mustExec("iptables-nft", "-t", "nat", "-A", "POSTROUTING", "-o", "lo", "-j", "ACCEPT");
    },
    check: "iptables-variants",
    verdict: "doubtful",
    words: "legacy iptables has the tables filter, and iptables-nft has",
  },
  {
    name: "another tool's conflist sorts before ours",
    prepare: async (prepared) => {
      await write(prepared, "etc/cni/net.d/05-calico.conflist", CALICO);
      await write(prepared, "etc/cni/net.d/10-flannel.conflist", FLANNEL);
    },
    check: "conflist",
    verdict: "wrong",
    words: "05-calico.conflist of Calico, which sorts before",
  },
  {
    name: "plugins that the conflist names are missing",
    prepare: (prepared) => write(prepared, "opt/cni/bin/README", ""),
    check: "cni-plugins",
    verdict: "wrong",
    words: "lack flannel, bridge, host-local, portmap, loopback",
  },
  {
    name: "systemd-networkd manages the VTEP",
    prepare: async (prepared) => {
      const index = await linkIndex(prepared.host, "flannel.1");
      await write(prepared, `run/systemd/netif/links/${index}`, "ADMIN_STATE=configured\n");
      await run(prepared, "systemd-networkd");
    },
    check: "networkd",
    verdict: "doubtful",
    words: "systemd-networkd manages flannel.1",
  },
  {
    name: "NetworkManager manages the bridge",
    prepare: async (prepared) => {
      const index = await linkIndex(prepared.host, "cni0");
      await write(prepared, `run/NetworkManager/devices/${index}`, "[device]\nmanaged=true\n");
    },
    check: "network-manager",
    verdict: "doubtful",
    words: "NetworkManager manages cni0",
  },
  {
    name: "dhcpcd may give links addresses",
    prepare: async (prepared) => {
      await write(prepared, "etc/dhcpcd.conf", "hostname\n");
      await run(prepared, "dhcpcd");
    },
    check: "dhcp-clients",
    verdict: "doubtful",
    words: "dhcpcd may give",
  },
  {
    name: "ConnMan may give links addresses",
    prepare: (prepared) => run(prepared, "connmand"),
    check: "dhcp-clients",
    verdict: "doubtful",
    words: "ConnMan may give",
  },
  {
    name: "cloud-init listens to hotplug",
    prepare: (prepared) => write(prepared, "etc/cloud/cloud.cfg.d/99-net.cfg", CLOUD_INIT),
    check: "dhcp-clients",
    verdict: "doubtful",
    words: "cloud-init configures",
  },
  {
    name: "two flannelds run",
    prepare: async (prepared) => {
      await run(prepared, "flanneld");
      const second = { ...prepared, root: `${prepared.root}/second` };
      await Deno.mkdir(second.root);
      await run(second, "flanneld");
    },
    check: "other-agents",
    verdict: "doubtful",
    words: "2 agents run",
  },
  {
    name: "kube-proxy has another network",
    prepare: (prepared) =>
      runScript(
        prepared,
        `Deno.serve({ hostname: "127.0.0.1", port: 10249, onListen: () => console.log("up") }, () => ` +
          `Response.json({ "kubeproxy.config.k8s.io": { mode: "iptables", clusterCIDR: "10.42.0.0/16" } }))`,
      ),
    check: "kube-proxy",
    verdict: "doubtful",
    words: "kube-proxy holds 10.42.0.0/16",
  },
  {
    name: "a folder that is written to is full",
    prepare: async ({ root, flags }) => {
      await Deno.mkdir(`${root}/full`);
      await Deno.mkdir(`${root}/locked`);
      flags.push(`-lease-cache=${root}/full/leases.json`, `-cni-bin-dir=${root}/locked`);
    },
    check: "disks",
    verdict: "wrong",
    words: "/full is full",
  },
  {
    name: "a folder that is written to is read only",
    prepare: () => Promise.resolve(),
    check: "disks",
    verdict: "wrong",
    words: "/locked is read only",
  },
  {
    name: "the clock was set back",
    prepare: async ({ host }) => {
      const later = new Date(Date.now() + 3600_000);
      await Deno.utime(host.subnetFilePath, later, later);
    },
    check: "clock",
    verdict: "doubtful",
    words: "in the future",
  },
];

/** The disks of two folders, as the doctor's own process sees them. */
const DISKS = 'mount -t tmpfs -o size=4k full "$1/full"; head -c 4096 /dev/zero >"$1/full/x"; ' +
  'mount -t tmpfs -o ro locked "$1/locked"; shift; exec "$@"';

Deno.test("the doctor names each fault of a host that has many, and nothing that is well", async () => {
  await withOverlay({ hosts: 2, agentFlags: ["-ip-masq"] }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host] = lab.hosts as [LabHost];
    await host.stopAgent();
    await using stack = new AsyncDisposableStack();
    const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
    stack.defer(() => Deno.remove(root, { recursive: true }));
    const prepared: Prepared = { host, root, stack, flags: ["-ip-masq"] };
    for (const { name, prepare } of AT_ONCE) {
      try {
        await prepare(prepared);
      } catch (error) {
        throw new Error(`Cannot prepare: ${name}: ${error}`, { cause: error });
      }
    }
    const wrap = ["sh", "-ec", DISKS, "sh", root];
    const words = await askDoctor(host, { root, extraFlags: prepared.flags, wrap, withMachine: true });
    for (const { name, check, verdict, words: expected } of AT_ONCE) {
      assert(says(words, check, verdict, expected), `${name}:\n${notOk(words).join("\n")}`);
    }
    const checks = new Set(AT_ONCE.map(({ check }) => check));
    const others = words.findings.filter(({ check, verdict }) => verdict !== "ok" && !checks.has(check));
    assertEquals(others.map(({ check, verdict }) => [check, verdict]), [["agent", "doubtful"]]);
    assertEquals(words.code, 1);
    assert(words.durationMs < 10_000, `${words.durationMs} ms`);
  });
});

/** What a host's INPUT accepts of the overlay, in words that name no port alone. */
const ACCEPTS = [
  "ip saddr 192.0.2.0/24 udp dport { 22, 8472, 8475 } accept",
  "udp dport 8000-9000 accept",
  "iifname eth0 ip saddr 192.0.2.0/24 accept",
  "udp dport 8472 accept",
  "meta l4proto udp accept",
];

Deno.test("the doctor blames no INPUT that lets the overlay in, whatever words it does that with", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host] = lab.hosts as [LabHost];
    await untilAsked(host);
    const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
    try {
      await host.netns.mustExec(
        "nft",
        "add table inet guard; " +
          "add chain inet guard input { type filter hook input priority 0; policy drop; }; " +
          "add rule inet guard input iif lo accept; add rule inet guard input ct state established accept",
      );
      for (const accept of ["", ...ACCEPTS]) {
        if (accept !== "") await host.netns.mustExec("nft", `add rule inet guard input ${accept}`);
        const words = await askDoctor(host, { root });
        assertEquals(
          words.findings.filter(({ check }) => check === "input").map(({ verdict }) => verdict),
          [accept === "" ? "doubtful" : "ok"],
          `${accept}\n${notOk(words).join("\n")}`,
        );
        if (accept === "") continue;
        const { stdout } = await host.exec("nft", "-a", "list", "chain", "inet", "guard", "input");
        const handle = /# handle (\d+)\s*\}\s*\}\s*$/.exec(stdout)![1]!;
        await host.netns.mustExec("nft", `delete rule inet guard input handle ${handle}`);
      }
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
});

Deno.test("the doctor plays packets of pods through the rules for what is forwarded", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host] = lab.hosts as [LabHost];
    await untilAsked(host);
    const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
    const rows: readonly (readonly [rules: string, verdict: string, words: string])[] = [
      ["", "doubtful", "has policy drop"],
      ["ip saddr 10.244.0.0/16 ip daddr 10.244.0.0/16 accept", "ok", "are forwarded"],
      ["iifname cni0 accept; add rule inet guard forward oifname cni0 accept", "ok", "are forwarded"],
      ["tcp dport 80 accept", "doubtful", "has policy drop"],
      [
        'iifname vmap { "cni0" : goto z, "flannel.1" : goto z, "flannel-v6.1" : goto z }; ' +
        "add rule inet guard z accept; add rule inet guard forward reject",
        "ok",
        "are forwarded",
      ],
      // What another chain may drop, as firewalld's check of sources, is no doubt about this one.
      [
        "ip saddr 10.244.0.0/16 accept; add rule inet guard forward reject; " +
        "add chain inet guard r { type filter hook prerouting priority -290; }; " +
        "add rule inet guard r fib saddr . mark . iif oif missing drop",
        "ok",
        "are forwarded",
      ],
    ];
    // What names firewalls by their makers is judged by what is accepted.
    const makers: readonly (readonly [rules: string, verdict: string, words: string])[] = [
      [
        "add table inet firewalld; " +
        "add chain inet firewalld f { type filter hook forward priority 10; policy drop; }; " +
        "add rule inet firewalld f ip saddr 10.244.0.0/16 accept",
        "ok",
        "lets packets of pods and of the overlay through",
      ],
      [
        "add table inet firewalld; " +
        "add chain inet firewalld f { type filter hook forward priority 10; policy drop; }; " +
        "add rule inet firewalld f tcp dport 80 accept",
        "doubtful",
        "firewalld is active and trusts no link",
      ],
      [
        "add table inet firewalld; " +
        "add chain inet firewalld i { type filter hook input priority 10; policy drop; }; " +
        "add rule inet firewalld i iif lo accept",
        "doubtful",
        "firewalld is active and trusts no link",
      ],
      [
        "add table inet guard; add chain inet guard ufw-before-forward; " +
        "add rule inet guard ufw-before-forward iifname cni0 accept; " +
        "add rule inet guard ufw-before-forward oifname cni0 accept; " +
        "add chain inet guard f { type filter hook forward priority 0; policy drop; }; " +
        "add rule inet guard f jump ufw-before-forward",
        "ok",
        "ufw is active, and lets packets",
      ],
      [
        "add table inet guard; add chain inet guard ufw-before-forward; " +
        "add chain inet guard f { type filter hook forward priority 0; policy drop; }; " +
        "add rule inet guard f jump ufw-before-forward",
        "doubtful",
        "ufw is active, which drops",
      ],
    ];
    try {
      for (const [rules, verdict, words] of rows) {
        await host.netns.mustExec(
          "nft",
          "add table inet guard; add chain inet guard forward { type filter hook forward priority 0; policy drop; }; " +
            "add chain inet guard z",
        );
        if (rules !== "") await host.netns.mustExec("nft", `add rule inet guard forward ${rules}`);
        const found = await askDoctor(host, { root });
        const said = found.findings.filter(({ check }) => check === "forward");
        assertEquals(said.map((one) => one.verdict), [verdict], `${rules}\n${notOk(found).join("\n")}`);
        assert(said[0]!.text.includes(words), said[0]!.text);
        await host.netns.mustExec("nft", "delete table inet guard");
      }
      for (const [rules, verdict, words] of makers) {
        await host.netns.mustExec("nft", rules);
        const found = await askDoctor(host, { root });
        const said = found.findings.filter(({ check }) => check === "firewall-managers");
        assertEquals(said.map((one) => one.verdict), [verdict], `${rules}\n${notOk(found).join("\n")}`);
        assert(said[0]!.text.includes(words), said[0]!.text);
        await host.netns.mustExec(
          "nft",
          `delete table ${rules.split(" ").slice(2, 4).join(" ").replace(";", "")}`,
        );
      }
      // A rule in a chain of policy accept is seen too.
      await host.netns.mustExec(
        "nft",
        "add table inet guard; add chain inet guard forward { type filter hook forward priority 0; }; " +
          "add rule inet guard forward ip saddr 10.244.0.0/16 drop",
      );
      const found = await askDoctor(host, { root });
      const said = found.findings.filter(({ check }) => check === "forward");
      assert(said.length > 0 && said.every(({ verdict }) => verdict === "wrong"), notOk(found).join("\n"));
      assert(said[0]!.text.includes("of chain forward of table inet guard"), said[0]!.text);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
});

/** Each on a host of its own making: one hides another. */
const ALONE: readonly Fault[] = [
  {
    name: "another program has the VTEP's port",
    prepare: async (prepared) => {
      await ip(prepared, "link", "delete", "flannel.1");
      await runScript(
        prepared,
        `const { createSocket } = await import("node:dgram"); ` +
          `createSocket("udp4").bind(8472, "0.0.0.0", () => console.log("up"))`,
      );
    },
    check: "vxlan-port",
    verdict: "wrong",
    words: "deno (process ",
  },
  {
    name: "another VXLAN link has the VNI",
    prepare: async (prepared) => {
      await ip(prepared, "link", "delete", "flannel.1");
      await ip(
        prepared,
        "link",
        "add",
        "vx1",
        "type",
        "vxlan",
        "id",
        "1",
        "dstport",
        "8472",
        "local",
        "192.0.2.2",
      );
    },
    check: "vxlan-port",
    verdict: "wrong",
    words: "vx1 is another VXLAN link with VNI 1",
  },
  {
    name: "the underlay is down",
    prepare: (prepared) => ip(prepared, "link", "set", "eth0", "down"),
    check: "underlay",
    verdict: "wrong",
    words: "eth0",
  },
];

Deno.test("the doctor names who has the port, who has the VNI, and that there is no underlay", async () => {
  await withOverlay({ hosts: 3 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    for (const [at, { name, prepare, check, verdict, words: expected }] of ALONE.entries()) {
      const host = lab.hosts[at]!;
      await host.stopAgent();
      await using stack = new AsyncDisposableStack();
      const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
      stack.defer(() => Deno.remove(root, { recursive: true }));
      await prepare({ host, root, stack, flags: [] });
      const words = await askDoctor(host, { root });
      assert(says(words, check, verdict, expected), `${name}:\n${notOk(words).join("\n")}`);
      assertEquals(words.code, 1);
    }
  });
});

Deno.test("a registry that another process holds is told alone, and what the agent answers is kept", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [host] = lab.hosts as [LabHost];
    await untilAsked(host);
    const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
    const path = flagsOf(host).find((flag) => flag.startsWith("-local-registry="))!.slice(
      "-local-registry=".length,
    );
    const before = notOk(await askDoctor(host, { root }));
    using db = new DatabaseSync(path);
    db.exec("BEGIN EXCLUSIVE");
    try {
      const words = await askDoctor(host, { root });
      const fresh = notOk(words).filter((line) => !before.includes(line));
      assert(says(words, "registry", "wrong", "another process has held it"), fresh.join("\n"));
      assertEquals(
        fresh.filter((line) => !/^(?:wrong registry|unseen leases|doubtful agent):/.test(line)),
        [],
      );
      assert(words.durationMs < 10_000);
    } finally {
      db.exec("ROLLBACK");
      await Deno.remove(root, { recursive: true });
    }
  });
});

Deno.test("the doctor tells the conditions of an agent, and of one that is halted within its time", async () => {
  await withOverlay({ hosts: 2 }, async (lab, libc) => {
    await untilSettled(lab, libc);
    const [h1, h2] = lab.hosts as [LabHost, LabHost];
    await untilAsked(h1);
    const root = await Deno.makeTempDir({ prefix: "lodentest-doctor-" });
    try {
      await h1.netns.mustExec("ip", "link", "set", "eth0", "down");
      await untilUnready(libc, h1, "");
      const words = await askDoctor(h1, { root });
      assert(
        words.findings.some(({ check, verdict, remedy }) =>
          check === "agent" && verdict === "wrong" && remedy !== ""
        ),
        notOk(words).join("\n"),
      );
      await untilReady(libc, h2);
      await untilAsked(h2);
      h2.agent!.signal("SIGSTOP");
      const halted: DoctorWords = await askDoctor(h2, { root });
      h2.agent!.signal("SIGCONT");
      assert(says(halted, "agent", "wrong", "has not answered within"), notOk(halted).join("\n"));
      assert(halted.durationMs < 10_000);
      // It hides nothing else.
      assert(says(halted, "leases", "ok", "2 leases are there"), notOk(halted).join("\n"));
      h2.agent!.signal("SIGKILL");
      await h2.agent!.ended;
      const { stdout } = await h2.exec("ip", "neigh", "show", "dev", "flannel.1");
      const [peer] = stdout.split(" ");
      await h2.netns.mustExec("ip", "neigh", "del", peer!, "dev", "flannel.1");
      const killed = await askDoctor(h2, { root });
      assert(says(killed, "agent", "wrong", "the last one was killed"), notOk(killed).join("\n"));
      assert(says(killed, "data-path", "wrong", ""), notOk(killed).join("\n"));
      assertEquals(killed.code, 1);
    } finally {
      await Deno.remove(root, { recursive: true });
    }
  });
});
