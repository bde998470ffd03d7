import { assertEquals, assertStringIncludes } from "@std/assert";
import * as agent from "../../../src/command/doctor/agent_checks.ts";
import type { Said, Verdict } from "../../../src/command/doctor/finding.ts";
import * as firewall from "../../../src/command/doctor/firewall_checks.ts";
import * as kernel from "../../../src/command/doctor/kernel_checks.ts";
import { judgeLeases } from "../../../src/command/doctor/lease_checks.ts";
import * as limit from "../../../src/command/doctor/limit_checks.ts";
import * as link from "../../../src/command/doctor/link_checks.ts";
import * as manager from "../../../src/command/doctor/manager_checks.ts";
import * as pod from "../../../src/command/doctor/pod_checks.ts";
import * as registry from "../../../src/command/doctor/registry_checks.ts";
import { parseAddress, parsePrefix } from "../../../src/model/address.ts";
import type { Lease } from "../../../src/model/lease.ts";
import type { ObservedLink } from "../../../src/model/state.ts";
import { leaseOf } from "../../double/test_host.ts";

type Row = readonly [why: string, said: Said | readonly Said[], verdict: Verdict, words: string];

const FLANNEL = '{"name":"cbr0","plugins":[{"type":"flannel"},{"type":"portmap"}]}';
const CALICO = '{"name":"k8s","plugins":[{"type":"calico"}]}';
const PODMAN = '{"name":"podman","plugins":[{"type":"bridge"}]}';

function conflists(files: Readonly<Record<string, string>>, own?: string, isAsked = false) {
  return {
    folder: "/etc/cni/net.d",
    files: Object.entries(files).map(([name, text]) => ({ name, text })),
    ownName: own,
    isAsked,
  };
}

const A = "0e:2a:00:00:00:0a";
const B = "0e:2a:00:00:00:0b";
const C = "0e:2a:00:00:00:0c";

function leases(list: readonly Lease[], faults: { host: string; reason: string }[] = []) {
  return judgeLeases({ leases: list, faults, networks: [parsePrefix("10.244.0.0/16")], leaseType: "vxlan" });
}

const two = [leaseOf("a", "10.244.1.0/24", "192.0.2.1", A), leaseOf("b", "10.244.2.0/24", "192.0.2.2", B)];

function vxlan(name: string, vni: number, port: number, isUp: boolean): ObservedLink {
  const vxlan = {
    vni,
    port,
    local: undefined,
    underlayLinkIndex: 2,
    learning: false,
    gbp: false,
    isForeign: false,
  };
  return { linkIndex: 9, name, isUp, mtuBytes: 1450, mac: undefined, kind: "vxlan", vxlan };
}

const port = (found: Partial<link.FoundPort>) =>
  link.judgePort({ port: 8472, vni: 1, own: [], others: [], isBound: false, ...found });

const mtus = (found: Partial<link.FoundMtus>) =>
  link.judgeMtus({
    underlay: { name: "eth0", mtuBytes: 1500 },
    configuredBytes: undefined,
    vteps: [{ name: "flannel.1", mtuBytes: 1450, overheadBytes: 50 }],
    podBytes: 1450,
    bridge: { name: "cni0", mtuBytes: 1450 },
    pods: [{ name: "veth0", mtuBytes: 1450 }],
    ...found,
  });

const setting = (
  path: string,
  value: number | string | undefined,
  extra: Record<string, unknown> = {},
  isKept = false,
) =>
  kernel.judgeSetting({
    check: {
      path,
      isGood: (value) => value === 1,
      wanted: 1,
      isOurs: true,
      isLasting: true,
      otherwise: "nothing works",
      ...extra,
    },
    value,
    isKept,
  });

const proxy = (config: agent.ProxyConfig | undefined, signs: readonly string[] = []) =>
  agent.judgeProxy({ config, signs, networks: ["10.244.0.0/16"], arpIgnore: 0 });

const room = { isReadOnly: false, freeBytes: 1e9, freeFiles: 1e6 };
const DAY = 24 * 3600_000;
const NOW = Date.parse("2026-11-30T12:00:00Z");
const gone = (former: agent.FormerAgent | undefined, isLockHeld = false) =>
  agent.judgeAgent({ kind: "none", isLockHeld, former });
const words = (ready: boolean, severity?: string) => ({
  kind: "words" as const,
  words: {
    ready,
    conditions: severity === undefined
      ? []
      : [{ code: "x-y", severity, reason: "it is so", remedy: "do it" }],
  },
});

const ROWS: Readonly<Record<string, readonly Row[]>> = {
  kernel: [
    ["a new kernel", kernel.judgeKernel([6, 18, 0]), "ok", "Linux 6.18.0"],
    ["an old one", kernel.judgeKernel([3, 10, 0]), "doubtful", "older than 4.19"],
    ["nobody tells", kernel.judgeKernel(undefined), "doubtful", "can't be read"],
    [
      "one that the agent sets, and none runs",
      setting("net/ipv4/ip_forward", 0),
      "doubtful",
      "ip_forward is 0",
    ],
    ["the same under an agent", setting("net/ipv4/ip_forward", 0, {}, true), "wrong", "nothing works"],
    [
      "a person's, that stops packets",
      setting("net/ipv4/conf/eth0/forwarding", 0, { isOurs: false }),
      "wrong",
      "eth0.forwarding is 0",
    ],
    [
      "a person's, that may",
      setting("net/ipv4/conf/eth0/rp_filter", 2, { isOurs: false }),
      "doubtful",
      "rp_filter is 2",
    ],
    [
      "br_netfilter is not loaded",
      setting("net/bridge/bridge-nf-call-iptables", undefined, {
        absent: "the module br_netfilter is not loaded",
      }),
      "doubtful",
      "br_netfilter is not loaded",
    ],
  ],
  conflist: [
    [
      "ours alone",
      pod.judgeConflists(conflists({ "10-flannel.conflist": FLANNEL }, "10-flannel.conflist")),
      "ok",
      "10-flannel",
    ],
    [
      "podman's behind ours",
      pod.judgeConflists(
        conflists({ "10-flannel.conflist": FLANNEL, "87-podman.conflist": PODMAN }, "10-flannel.conflist"),
      ),
      "ok",
      "10-flannel",
    ],
    [
      "Calico's before ours",
      pod.judgeConflists(
        conflists({ "05-calico.conflist": CALICO, "10-flannel.conflist": FLANNEL }, "10-flannel.conflist"),
      ),
      "wrong",
      "of Calico, which sorts before 10-flannel.conflist",
    ],
    [
      "Calico's behind ours",
      pod.judgeConflists(
        conflists({ "10-flannel.conflist": FLANNEL, "20-calico.conflist": CALICO }, "10-flannel.conflist"),
      ),
      "doubtful",
      "stands behind ours",
    ],
    [
      "garbage before ours",
      pod.judgeConflists(
        conflists({ "05-x.conf": "{", "10-flannel.conflist": FLANNEL }, "10-flannel.conflist"),
      ),
      "doubtful",
      "no network configuration",
    ],
    [
      "none, and none is asked for",
      pod.judgeConflists(conflists({ "87-podman.conflist": PODMAN })),
      "ok",
      "no conflist is asked",
    ],
    [
      "none though it is asked for",
      pod.judgeConflists(conflists({}, undefined, true)),
      "doubtful",
      "no conflist of ours",
    ],
    [
      "Calico's alone",
      pod.judgeConflists(conflists({ "10-calico.conflist": CALICO })),
      "doubtful",
      "attached by Calico",
    ],
  ],
  "cni-plugins": [
    [
      "all there",
      pod.judgePlugins({ types: ["bridge"], folders: ["/opt/cni/bin"], missing: [] }),
      "ok",
      "bridge are there",
    ],
    [
      "one is missing",
      pod.judgePlugins({ types: ["bridge"], folders: ["/opt/cni/bin"], missing: ["bridge"] }),
      "wrong",
      "/opt/cni/bin lack bridge",
    ],
  ],
  "other-overlays": [
    [
      "none, and rules are not to be seen",
      pod.judgeOverlays({ links: [], chains: undefined, processes: [] }),
      "unseen",
      "only root sees rules",
    ],
    [
      "none",
      pod.judgeOverlays({ links: ["eth0", "califoo", "cni0"], chains: ["FORWARD"], processes: [] }),
      "ok",
      "no other",
    ],
    [
      "Calico's link",
      pod.judgeOverlays({ links: ["cali0123456789a", "vxlan.calico"], chains: [], processes: [] }),
      "doubtful",
      "Calico has left link cali0123456789a, link vxlan.calico",
    ],
    [
      "Cilium's chain",
      pod.judgeOverlays({ links: [], chains: ["CILIUM_FORWARD"], processes: [] }),
      "doubtful",
      "Cilium",
    ],
    [
      "Weave's link",
      pod.judgeOverlays({ links: ["weave"], chains: [], processes: [] }),
      "doubtful",
      "Weave Net",
    ],
    [
      "kube-router's bridge",
      pod.judgeOverlays({ links: ["kube-bridge"], chains: [], processes: [] }),
      "doubtful",
      "kube-router",
    ],
    [
      "Calico's policies, as in Canal",
      pod.judgeOverlays({ links: ["cali0123456789a"], chains: ["cali-FORWARD"], processes: ["calico-node"] }),
      "ok",
      "calico-node of Calico runs, and nothing that leads packets",
    ],
    [
      "Calico's policies, whose program is not to be seen",
      pod.judgeOverlays({ links: ["cni0"], chains: ["cali-FORWARD"], processes: [] }),
      "ok",
      "Calico has chain cali-FORWARD, and nothing that leads packets",
    ],
    [
      "Calico with an overlay of its own",
      pod.judgeOverlays({ links: ["vxlan.calico"], chains: ["cali-FORWARD"], processes: ["calico-node"] }),
      "doubtful",
      "two overlays undo each other's work",
    ],
    [
      "Calico with routes of its own",
      pod.judgeOverlays({ links: [], chains: ["cali-FORWARD"], processes: ["calico-node", "bird"] }),
      "doubtful",
      "two overlays undo each other's work",
    ],
    [
      "bird without Calico",
      pod.judgeOverlays({ links: [], chains: [], processes: ["bird"] }),
      "ok",
      "no other",
    ],
    [
      "kube-router's policies, as in k3s",
      pod.judgeOverlays({ links: ["cni0"], chains: ["KUBE-ROUTER-FORWARD"], processes: [] }),
      "ok",
      "kube-router has chain KUBE-ROUTER-FORWARD, and nothing that leads packets",
    ],
    [
      "kube-router runs, with its bridge",
      pod.judgeOverlays({ links: ["kube-bridge"], chains: [], processes: ["kube-router"] }),
      "doubtful",
      "runs on this host",
    ],
    [
      "Cilium runs",
      pod.judgeOverlays({ links: [], chains: [], processes: ["cilium-agent"] }),
      "doubtful",
      "runs on this host",
    ],
  ],
  "vxlan-port": [
    ["not needed", link.judgePort(undefined), "ok", "needs none"],
    ["ours has it", port({ own: [vxlan("flannel.1", 1, 8472, true)], isBound: true }), "ok", "flannel.1 has"],
    ["free", port({}), "ok", "is free"],
    ["another program's", port({ isBound: true }), "wrong", "another program has UDP port 8472"],
    [
      "a program's that is known",
      port({ isBound: true, owner: "dnsmasq (process 7)" }),
      "wrong",
      "dnsmasq (process 7) has UDP port 8472",
    ],
    [
      "another VXLAN link shares it",
      port({ others: [vxlan("vxlan9", 9, 8472, true)], isBound: true }),
      "ok",
      "is free",
    ],
    [
      "another has the VNI",
      port({ others: [vxlan("cilium_vxlan", 1, 8472, true)] }),
      "wrong",
      "cilium_vxlan is another",
    ],
  ],
  mtu: [
    ["as it must be", mtus({}), "ok", "eth0 1500, flannel.1 1450, cni0 1450, pods 1450"],
    [
      "the bridge is narrower than pods send",
      mtus({ bridge: { name: "cni0", mtuBytes: 600 } }),
      "doubtful",
      "cni0 has MTU 600, and pods may send 1450",
    ],
    [
      "the underlay is narrower",
      mtus({ underlay: { name: "eth0", mtuBytes: 1400 } }),
      "wrong",
      "eth0 carries 1400",
    ],
    [
      "jumbo frames are not used",
      mtus({ underlay: { name: "eth0", mtuBytes: 9000 } }),
      "doubtful",
      "would carry 8950",
    ],
    [
      "meant so",
      mtus({ underlay: { name: "eth0", mtuBytes: 9000 }, configuredBytes: 1500 }),
      "ok",
      "eth0 9000",
    ],
    [
      "the subnet file says too much",
      mtus({ podBytes: 1500 }),
      "wrong",
      "the subnet file gives pods MTU 1500",
    ],
    ["an old pod's", mtus({ pods: [{ name: "veth0", mtuBytes: 1500 }] }), "doubtful", "veth0 on cni0"],
  ],
  input: [
    ["no port", firewall.judgeInput(undefined), "ok", "no port"],
    ["nothing drops", firewall.judgeInput({ port: 8472, dropped: [] }), "ok", "nothing is known"],
    [
      "a chain drops",
      firewall.judgeInput({ port: 8472, dropped: ["chain input drops all: have it accept that (nft …)"] }),
      "doubtful",
      "chain input drops all",
    ],
  ],
  forward: [
    ["not ours", firewall.judgeForward("unused"), "ok", "no rules"],
    ["no subnet", firewall.judgeForward("no subnet"), "unseen", "no subnet yet"],
    ["well", firewall.judgeForward({ warnings: [], actions: [], hasAgent: true }), "ok", "forwarded"],
    [
      "dropped",
      firewall.judgeForward({ warnings: ["chain x drops"], actions: [], hasAgent: true }),
      "doubtful",
      "chain x drops",
    ],
    [
      "missing",
      firewall.judgeForward({ warnings: [], actions: ["write table x"], hasAgent: false }),
      "doubtful",
      "write table x",
    ],
  ],
  "firewall-managers": [
    [
      "nothing, and rules are not to be seen",
      firewall.judgeManagers({ firewalld: false, ufw: false, isTrusted: false, hasSeenRules: false }),
      "unseen",
      "only root sees rules",
    ],
    [
      "none",
      firewall.judgeManagers({ firewalld: false, ufw: false, isTrusted: false, hasSeenRules: true }),
      "ok",
      "no program",
    ],
    [
      "firewalld",
      firewall.judgeManagers({ firewalld: true, ufw: false, isTrusted: false, hasSeenRules: true }),
      "doubtful",
      "firewalld is active",
    ],
    [
      "firewalld that trusts",
      firewall.judgeManagers({ firewalld: true, ufw: false, isTrusted: true, hasSeenRules: true }),
      "ok",
      "trusts",
    ],
    [
      "ufw",
      firewall.judgeManagers({ firewalld: false, ufw: true, isTrusted: false, hasSeenRules: true }),
      "doubtful",
      "ufw is active",
    ],
  ],
  "iptables-variants": [
    ["nft alone", firewall.judgeVariants({ legacy: [], nft: ["filter"] }), "ok", "nftables alone"],
    ["legacy alone", firewall.judgeVariants({ legacy: ["filter"], nft: [] }), "ok", "legacy iptables alone"],
    [
      "both",
      firewall.judgeVariants({ legacy: ["filter"], nft: ["nat", "nat"] }),
      "doubtful",
      "iptables-nft has nat",
    ],
  ],
  managers: [
    ["networkd is not there", manager.judgeNetworkd(undefined), "ok", "does not run"],
    [
      "networkd has our link",
      manager.judgeNetworkd({
        links: [{ name: "flannel.1", isManaged: true }],
        keepsRoutes: true,
        hasDirectRoutes: true,
      }),
      "doubtful",
      "manages flannel.1",
    ],
    [
      "networkd leaves it alone",
      manager.judgeNetworkd({
        links: [{ name: "flannel.1", isManaged: false }],
        keepsRoutes: false,
        hasDirectRoutes: false,
      }),
      "ok",
      "leaves",
    ],
    [
      "networkd deletes direct routes",
      manager.judgeNetworkd({ links: [], keepsRoutes: false, hasDirectRoutes: true }),
      "doubtful",
      "deletes routes",
    ],
    ["NetworkManager is not there", manager.judgeNetworkManager(undefined), "ok", "does not run"],
    [
      "NetworkManager has our link",
      manager.judgeNetworkManager([{ name: "cni0", isManaged: true }]),
      "doubtful",
      "manages cni0",
    ],
    [
      "NetworkManager leaves it alone",
      manager.judgeNetworkManager([{ name: "cni0", isManaged: false }]),
      "ok",
      "leaves",
    ],
    [
      "no clients",
      manager.judgeClients({ dhcpcd: undefined, connman: undefined, cloudInit: "" }),
      "ok",
      "no client",
    ],
    [
      "dhcpcd",
      manager.judgeClients({ dhcpcd: "dhcpcd may; add it", connman: undefined, cloudInit: "" }),
      "doubtful",
      "dhcpcd may",
    ],
    [
      "ConnMan",
      manager.judgeClients({ dhcpcd: undefined, connman: "[General]", cloudInit: "" }),
      "doubtful",
      "ConnMan",
    ],
    [
      "ConnMan that knows",
      manager.judgeClients({
        dhcpcd: undefined,
        connman: "NetworkInterfaceBlacklist=flannel,cni",
        cloudInit: "",
      }),
      "ok",
      "no client",
    ],
    [
      "cloud-init with hotplug",
      manager.judgeClients({
        dhcpcd: undefined,
        connman: undefined,
        cloudInit: "updates:\n  network:\n    when: ['boot', 'hotplug']",
      }),
      "doubtful",
      "cloud-init",
    ],
  ],
  limits: [
    ["a disk with room", limit.judgeDisks([{ folder: "/run/flannel", room }]), "ok", "/run/flannel can be"],
    [
      "one read only",
      limit.judgeDisks([{ folder: "/x", room: { ...room, isReadOnly: true } }]),
      "wrong",
      "/x is read only",
    ],
    [
      "one full",
      limit.judgeDisks([{ folder: "/x", room: { ...room, freeBytes: 4096 } }]),
      "wrong",
      "/x is full",
    ],
    [
      "one without files",
      limit.judgeDisks([{ folder: "/x", room: { ...room, freeFiles: 1 } }]),
      "wrong",
      "room for 1 more",
    ],
    [
      "one without inodes to count",
      limit.judgeDisks([{ folder: "/x", room: { isReadOnly: false, freeBytes: 1e9 } }]),
      "ok",
      "/x",
    ],
    ["descriptors", limit.judgeDescriptors({ hard: 1024, used: 100, max: 1e6 }), "ok", "1024"],
    [
      "few descriptors",
      limit.judgeDescriptors({ hard: 64, used: 100, max: 1e6 }),
      "doubtful",
      "64 descriptors",
    ],
    ["none left", limit.judgeDescriptors({ hard: 1024, used: 99, max: 100 }), "wrong", "99 files of 100"],
    ["watches", limit.judgeInotify({ errno: 0, instances: 128 }), "ok", "128"],
    ["no watch", limit.judgeInotify({ errno: 24, instances: 128 }), "doubtful", "no more watches"],
    ["few watches", limit.judgeInotify({ errno: 0, instances: 8 }), "doubtful", "8 watches"],
    ["neighbours", limit.judgeNeighbours({ entries: 10, most: 1024 }), "ok", "10"],
    ["a full table", limit.judgeNeighbours({ entries: 1000, most: 1024 }), "doubtful", "room for 1024"],
    ["a limit that is not seen", limit.judgeNeighbours({ entries: 1000, most: undefined }), "ok", "1000"],
    ["no tracking", limit.judgeConntrack({ count: undefined, max: undefined }), "ok", "not tracked"],
    ["some connections", limit.judgeConntrack({ count: 5, max: 100 }), "ok", "5 of 100"],
    ["many", limit.judgeConntrack({ count: 95, max: 100 }), "doubtful", "soon"],
    ["too many", limit.judgeConntrack({ count: 100, max: 100 }), "wrong", "dropped"],
    [
      "a clock that is right",
      limit.judgeClock({ isSynchronized: true, aheadMs: 0, file: "/x" }),
      "ok",
      "synchronized",
    ],
    [
      "one that nobody sets",
      limit.judgeClock({ isSynchronized: false, aheadMs: 0, file: "/x" }),
      "doubtful",
      "not synchronized",
    ],
    [
      "one that was set back",
      limit.judgeClock({ isSynchronized: true, aheadMs: 100_000, file: "/x" }),
      "doubtful",
      "set back",
    ],
  ],
  "data-path": [
    ["an agent answers", agent.judgeDataPath("asked"), "ok", "looks after it"],
    ["no agent was here", agent.judgeDataPath("none"), "ok", "no subnet"],
    ["all is there", agent.judgeDataPath([]), "ok", "is there"],
    ["a route is gone", agent.judgeDataPath(["no route leads to 10.244.2.0/24"]), "wrong", "no route"],
  ],
  agents: [
    ["one that is ready", agent.judgeAgent(words(true)), "ok", "ready"],
    ["one that is not", agent.judgeAgent(words(false, "blocking")), "wrong", "it is so (x-y)"],
    ["one with a note", agent.judgeAgent(words(true, "degraded")), "doubtful", "it is so (x-y)"],
    ["one with news", agent.judgeAgent(words(true, "info")), "ok", "ready"],
    ["none", gone(undefined), "unseen", "no agent"],
    ["one that was told to end", gone({ hasEnded: true }), "doubtful", "told to end"],
    ["one that was killed", gone({ hasEnded: false }), "wrong", "was killed"],
    ["an earlier version's", gone({ hasEnded: false }, true), "doubtful", "can't be asked"],
    [
      "one that hangs",
      agent.judgeAgent({ kind: "fault", reason: "not answered", isRoot: true }),
      "wrong",
      "not answered",
    ],
    [
      "one that answers root alone",
      agent.judgeAgent({ kind: "fault", reason: "may not", isRoot: false }),
      "unseen",
      "may not",
    ],
    ["no other", agent.judgeOthers([{ pid: 1, program: "loden" }]), "ok", "no other"],
    [
      "flanneld beside",
      agent.judgeOthers([{ pid: 1, program: "loden" }, { pid: 2, program: "loden" }, {
        pid: 3,
        program: "flanneld",
      }]),
      "doubtful",
      "process 3",
    ],
    [
      "two flannelds",
      agent.judgeOthers([{ pid: 2, program: "flanneld" }, { pid: 3, program: "flanneld" }]),
      "doubtful",
      "processes 2, 3",
    ],
    [
      "the backend of AWS",
      agent.judgeCloud({ vendor: "Amazon EC2", backend: "aws-vpc" }),
      "ok",
      "doctor --aws",
    ],
    [
      "host-gw on AWS",
      agent.judgeCloud({ vendor: "Amazon EC2", backend: "host-gw" }),
      "doubtful",
      "source/destination",
    ],
    ["no cloud", agent.judgeCloud({ vendor: "", backend: "host-gw" }), "ok", "nothing"],
  ],
  "kube-proxy": [
    ["none", proxy(undefined), "ok", "not seen"],
    ["well", proxy({ mode: "nftables", clusterCIDR: "10.244.0.0/16" }), "ok", "nftables"],
    ["by its chains", proxy(undefined, ["iptables"]), "ok", "iptables"],
    ["two modes", proxy(undefined, ["ipvs", "iptables"]), "doubtful", "ipvs and iptables"],
    ["another network", proxy({ mode: "iptables", clusterCIDR: "10.42.0.0/16" }), "doubtful", "10.42.0.0/16"],
    [
      "masquerades all",
      proxy({ mode: "iptables", iptables: { masqueradeAll: true } }),
      "doubtful",
      "masqueradeAll",
    ],
    ["userspace", proxy({ mode: "userspace" }), "doubtful", "userspace"],
    ["strict ARP that is not", proxy({ mode: "ipvs", ipvs: { strictARP: true } }), "doubtful", "strictARP"],
  ],
  registry: [
    ["no certificates", registry.judgeCertificates([], NOW), "ok", "none"],
    [
      "one",
      registry.judgeCertificates([{ name: "/x", endsAtMs: NOW + 90 * DAY }], NOW),
      "ok",
      "valid until 2027-02-28",
    ],
    [
      "one that ends soon",
      registry.judgeCertificates([{ name: "/x", endsAtMs: NOW + DAY }], NOW),
      "doubtful",
      "2026-12-01",
    ],
    [
      "one that has ended",
      registry.judgeCertificates([{ name: "/x", endsAtMs: NOW - DAY }], NOW),
      "wrong",
      "2026-11-29",
    ],
    [
      "one that has not begun",
      registry.judgeCertificates([{ name: "/x", endsAtMs: NOW + 90 * DAY, beginsAtMs: NOW + DAY }], NOW),
      "wrong",
      "not valid before",
    ],
    [
      "no PEM",
      registry.judgeCertificates([{ name: "/x", endsAtMs: undefined }], NOW),
      "wrong",
      "no certificate",
    ],
    [
      "a file that is away",
      registry.judgeCertificates([{ name: "/x", endsAtMs: undefined, fault: "gone" }], NOW),
      "wrong",
      "gone",
    ],
    ["clocks agree", registry.judgeServerClock({ aheadMs: -800 }), "ok", "agree"],
    ["clocks differ", registry.judgeServerClock({ aheadMs: 20_000 }), "doubtful", "20 s ahead"],
    ["clocks differ much", registry.judgeServerClock({ aheadMs: -400_000 }), "wrong", "400 s behind"],
    ["no server", registry.judgeServerClock("none"), "ok", "this machine"],
    ["a server that does not tell", registry.judgeServerClock(undefined), "unseen", "does not tell"],
    ["no Kubernetes", registry.judgePermissions(undefined), "ok", "not Kubernetes"],
    ["all allowed", registry.judgePermissions([{ what: "get nodes", isAllowed: true }]), "ok", "get nodes"],
    [
      "one denied",
      registry.judgePermissions([{ what: "patch nodes/status", isAllowed: false }]),
      "wrong",
      "may not patch nodes/status",
    ],
  ],
  leases: [
    ["two that agree", leases(two), "ok", "2 leases are there"],
    [
      "a subnet twice",
      leases([...two, leaseOf("c", "10.244.1.0/24", "192.0.2.3", C)]),
      "wrong",
      "given twice: 10.244.1.0/24 of",
    ],
    [
      "one inside another",
      leases([...two, leaseOf("c", "10.244.1.128/25", "192.0.2.3", C)]),
      "wrong",
      "overlap",
    ],
    [
      "an address twice",
      leases([...two, leaseOf("c", "10.244.3.0/24", "192.0.2.1", C)]),
      "wrong",
      "underlay address is published twice: 192.0.2.1 of a and c",
    ],
    [
      "a MAC twice",
      leases([...two, leaseOf("c", "10.244.3.0/24", "192.0.2.3", A)]),
      "wrong",
      `VTEP MAC is published twice: ${A}`,
    ],
    [
      "outside of the network",
      leases([...two, leaseOf("c", "10.42.3.0/24", "192.0.2.3", C)]),
      "wrong",
      "outside of 10.244.0.0/16",
    ],
    [
      "another backend",
      leases([...two, { ...leaseOf("c", "10.244.3.0/24", "192.0.2.3", C), backendType: "host-gw" }]),
      "doubtful",
      "1 of 3 hosts have another backend (host-gw)",
    ],
    [
      "no podCIDR",
      leases(two, [{ host: "c", reason: "its node has no podCIDR yet" }]),
      "wrong",
      "1 node has no podCIDR: c",
    ],
    [
      "an entry that can't be read",
      leases(two, [{ host: "c", reason: "it is no JSON\u202e" }]),
      "doubtful",
      "c: it is no JSON\\u202e",
    ],
    [
      "data that is anything",
      leases([{
        host: "x",
        backendType: "vxlan",
        parts: [{
          subnet: parsePrefix("10.244.9.0/24"),
          underlayAddress: parseAddress("192.0.2.9"),
          backendData: [null],
        }],
      }]),
      "ok",
      "1 lease is there",
    ],
  ],
};

for (const [subject, rows] of Object.entries(ROWS)) {
  Deno.test(`the doctor judges ${subject} by what is seen`, () => {
    for (const [why, said, verdict, words] of rows) {
      const all = [said].flat();
      assertEquals(all.length, 1, `${why}: ${JSON.stringify(all)}`);
      assertEquals([why, all[0]!.verdict], [why, verdict]);
      assertStringIncludes(all[0]!.text, words, why);
      if (verdict === "wrong" || verdict === "doubtful") {
        assertEquals(all[0]!.remedy !== undefined, true, why);
      }
    }
  });
}

Deno.test("the doctor has nothing to say of a setting that is good, or that is not there and means nothing", () => {
  assertEquals(setting("net/ipv4/ip_forward", 1), []);
  assertEquals(setting("net/ipv4/conf/flannel.1/forwarding", undefined), []);
});

Deno.test("the ports of /proc/net/udp are read", () => {
  const list = "   sl  local_address rem_address\n" +
    " 1070: 00000000:2118 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 8472 2 0 0\n";
  assertEquals(link.portsIn(list), [0x2118]);
});

Deno.test("the doctor says that what the agent was started with can't be read, and calls it wrong no more than that", () => {
  const flagsFault = new Error("Cannot read the flags that the last agent has noted in /x: it is not JSON");
  assertEquals(agent.judgeNotedFlags({ flagsFault: undefined, isRoot: true }), []);
  const [said] = agent.judgeNotedFlags({ flagsFault, isRoot: true });
  assertEquals([said!.verdict, said!.text], ["doubtful", flagsFault.message]);
  assertEquals(agent.judgeNotedFlags({ flagsFault, isRoot: false }).map(({ verdict }) => verdict), [
    "unseen",
  ]);
});
