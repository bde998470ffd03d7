import { assertEquals } from "@std/assert";
import { ownNames } from "../../src/status/own_names.ts";

const isOwn = ownNames(() => ["Node-1.example.com", "node-1"]);

const rows: readonly (readonly [host: string, isOwn: boolean, why: string])[] = [
  ["127.0.0.1:8081", true, "kubelet's probes ask the host's address"],
  ["10.0.0.7", true, "Prometheus asks the pod's address"],
  ["[fd00::7]:8081", true, "the address may be of IPv6"],
  ["localhost:43210", true, "kubectl port-forward ends at a port of its own"],
  ["node-1:8081", true, "it is a single label, which a search list completes"],
  ["NODE-1.EXAMPLE.COM.:8081", true, "it is the node's name, which has no case, and may end in a dot"],
  ["kube-flannel.kube-flannel.svc:8081", true, "it is a Service"],
  ["kube-flannel.kube-flannel.svc.cluster.local", true, "it is a Service, in full"],
  ["ip-10-0-0-7.ec2.internal:8081", true, "clouds call hosts so, and nobody else can"],
  ["printer.local", true, "it is of the link"],
  ["evil.example:8081", false, "it is anybody's"],
  ["node-1.evil.example", false, "it is anybody's, though it begins as this host's"],
  ["10.0.0.7.evil.example", false, "it is anybody's, though it begins as an address"],
  ["node-1.example.com.evil.example", false, "it is anybody's, though it begins as the node's name"],
  ["local.evil.example", false, "it is anybody's, though it begins as a private domain"],
  ["evillocal.example", false, "no label is a private domain"],
  ["xlocal.com", false, "no label is a private domain"],
  ["10.0.0.7@evil.example", false, "it is no host"],
  ["evil.example:80:80", false, "it is no host"],
  ["[evil.example]", false, "it is no address in brackets"],
  ["[::1].evil.example", false, "it is anybody's behind an address"],
  ["", false, "it says nothing"],
  [":8081", false, "it is a port alone"],
];

for (const [host, expected, why] of rows) {
  Deno.test(`ownNames() ${expected ? "takes" : "refuses"} ${JSON.stringify(host)}: ${why}`, () => {
    assertEquals(isOwn(host), expected);
  });
}

Deno.test("ownNames() goes by the names that a host has when it is asked", () => {
  let names: readonly string[] = [];
  const isOwn = ownNames(() => names);
  assertEquals(isOwn("node-2.example.com"), false);
  names = ["node-2.example.com"];
  assertEquals(isOwn("node-2.example.com"), true);
});

Deno.test("ownNames() takes what an API server passes on, by a name of its own, from who knows the agent's pod", () => {
  const isOwn = ownNames(() => [], "kube-flannel-ds-x7k2p");
  const targets: readonly (readonly [target: string, isOwn: boolean])[] = [
    ["/status?pod=kube-flannel-ds-x7k2p", true],
    ["/metrics?pod=kube-flannel-ds-x7k2p", true],
    ["/status?pod=kube-flannel-ds-abcde", false],
    ["/status?pod=", false],
    ["/status", false],
  ];
  for (const [target, expected] of targets) {
    assertEquals(isOwn("api.example.com:6443", target), expected, target);
  }
  assertEquals(ownNames(() => [])("api.example.com", "/status?pod=undefined"), false);
});
