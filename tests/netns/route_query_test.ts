import { assertEquals } from "@std/assert";
import {
  type Address,
  AF_INET,
  AF_INET6,
  formatAddress,
  formatPrefix,
  parseAddress,
  parsePrefix,
} from "../../src/model/address.ts";
import { type Flow, queryRoute, type RouteAnswer } from "../../src/rtnetlink/route_query.ts";
import { RTN_LOCAL } from "../../src/rtnetlink/route_header.ts";
import { formatRule } from "../../src/rtnetlink/rule_text.ts";
import { ruleInto, type WalkedFlow, walkRoute } from "../../src/rtnetlink/route_walk.ts";
import { dumpRules } from "../../src/rtnetlink/rule.ts";
import { dumpTableRoutes } from "../../src/rtnetlink/table_route.ts";
import { linkIndexOf } from "../double/netns.ts";
import { Host } from "./netlink_host.ts";

const FAMILIES = [
  {
    version: "-4",
    family: AF_INET,
    peer: "10.244.2.0/24",
    gateway: "10.244.2.0",
    own: "10.244.1",
    half: "10.244.2.0/25",
    pod: parseAddress("10.244.1.2"),
    there: parseAddress("10.244.2.1"),
    router: "192.0.2.9",
  },
  {
    version: "-6",
    family: AF_INET6,
    peer: "fd00:10:244:2::/64",
    gateway: "fd00:10:244:2::",
    own: "fd00:10:244:1:",
    half: "fd00:10:244:2::/65",
    pod: parseAddress("fd00:10:244:1::2"),
    there: parseAddress("fd00:10:244:2::1"),
    router: "2001:db8::9",
  },
] as const;

/** What is prepared, and what the kernel says of a pod's packet: `TABLE PREFIX GATEWAY`, or an error number. */
const PREPARED: readonly {
  readonly name: string;
  readonly rule?: readonly string[];
  /** In table 100. */
  readonly route?: (at: typeof FAMILIES[number]) => readonly string[];
  readonly said: (at: typeof FAMILIES[number]) => string;
  /** The rule that decides, as `ip rule` shows it, of the pod's packet. */
  readonly decides: string;
}[] = [
  { name: "nothing", said: ourWay, decides: "32766: from all lookup main" },
  {
    name: "a rule into an empty table",
    rule: ["priority", "100", "lookup", "100"],
    said: ourWay,
    decides: "32766: from all lookup main",
  },
  {
    name: "a rule into a table with a route to all",
    rule: ["priority", "100", "lookup", "100"],
    route: ({ router }) => ["default", "via", router],
    said: ({ version, router }) => `100 ${version === "-4" ? "0.0.0.0" : "::"}/0 ${router}`,
    decides: "100: from all lookup 100",
  },
  {
    name: "the same rule, by which routes to all do not count",
    rule: ["priority", "100", "lookup", "100", "suppress_prefixlength", "0"],
    route: ({ router }) => ["default", "via", router],
    said: ourWay,
    decides: "32766: from all lookup main",
  },
  {
    name: "a rule for marked packets",
    rule: ["priority", "100", "fwmark", "0x10/0xff", "lookup", "100"],
    route: ({ router }) => ["default", "via", router],
    said: ourWay,
    decides: "32766: from all lookup main",
  },
  {
    name: "a rule for packets without a mark",
    rule: ["priority", "100", "not", "from", "all", "fwmark", "0x10", "lookup", "100"],
    route: ({ half, router }) => [half, "via", router],
    said: ({ half, router }) => `100 ${half} ${router}`,
    decides: "100: not from all fwmark 0x10 lookup 100",
  },
  {
    name: "a rule for what comes in by the bridge",
    rule: ["priority", "100", "iif", "cni0", "lookup", "100"],
    route: ({ half, router }) => [half, "via", router],
    said: ({ half, router }) => `100 ${half} ${router}`,
    decides: "100: from all iif cni0 lookup 100",
  },
  {
    name: "a rule for this host's own packets",
    rule: ["priority", "100", "iif", "lo", "lookup", "100"],
    route: ({ half, router }) => [half, "via", router],
    said: ourWay,
    decides: "32766: from all lookup main",
  },
  {
    name: "a route that drops",
    rule: ["priority", "100", "lookup", "100"],
    route: ({ half }) => ["blackhole", half],
    said: () => "errno 22",
    decides: "100: from all lookup 100",
  },
  {
    name: "a route that sends to the next rule",
    rule: ["priority", "100", "lookup", "100"],
    route: ({ half }) => ["throw", half],
    said: ourWay,
    decides: "32766: from all lookup main",
  },
  {
    name: "a rule that prohibits",
    rule: ["priority", "100", "prohibit"],
    said: () => "errno 13",
    decides: "100: from all prohibit",
  },
  {
    name: "a rule that goes on behind the table",
    rule: ["priority", "100", "goto", "32767"],
    said: () => "errno 101",
    decides: "",
  },
];

function ourWay({ peer, gateway }: typeof FAMILIES[number]): string {
  return `254 ${peer} ${gateway}`;
}

for (const at of FAMILIES) {
  Deno.test(`queryRoute() says which route a pod's packet takes, and walkRoute() by which rule, ${at.version}`, async () => {
    await using host = await Host.open();
    await host.createVtep();
    const { netns, client } = host;
    await netns.ip("link", "add", "cni0", "type", "bridge");
    const gateway = at.version === "-4" ? [`${at.own}.1/24`] : [`${at.own}:1/64`, "nodad"];
    await netns.ip("address", "add", ...gateway, "dev", "cni0");
    await netns.ip("link", "set", "cni0", "up");
    netns.writeSysctl("net/ipv4/ip_forward", "1");
    netns.writeSysctl("net/ipv6/conf/all/forwarding", "1");
    // A rule may lead behind the last one of the kernel.
    await netns.ip(at.version, "rule", "add", "priority", "32767", "lookup", "default").catch(() => {});
    const ours = ["via", at.gateway, "dev", "flannel.1", "onlink", "proto", "76"];
    await netns.ip(at.version, "route", "add", at.peer, ...ours);
    const bridge = await linkIndexOf(netns, "cni0");
    const flow: Flow = { destination: at.there, source: at.pod, inputLinkIndex: bridge };
    for (const { name, rule, route, said, decides } of PREPARED) {
      if (rule !== undefined) await netns.ip(at.version, "rule", "add", ...rule);
      if (route !== undefined) await netns.ip(at.version, "route", "add", ...route(at), "table", "100");
      const answer = queryRoute(client, flow);
      assertEquals(textOf(answer), said(at), name);
      const rules = dumpRules(client, at.family);
      const walked: WalkedFlow = { destination: at.there, source: at.pod, inputLink: "cni0" };
      const steps = walkRoute(walked, rules, (table) => dumpTableRoutes(client, at.family, table));
      const last = steps.at(-1)!;
      assertEquals(last.role === "decides" ? formatRule(last.rule) : "", decides, name);
      if (answer.route !== undefined) {
        const { table, destination, protocol } = answer.route;
        assertEquals(
          [last.route?.table, last.route?.destination, last.route?.protocol],
          [table, destination, protocol],
          name,
        );
        assertEquals(ruleInto(walked, rules, { table, length: destination.length }), last.rule, name);
      }
      if (route !== undefined) await netns.ip(at.version, "route", "flush", "table", "100");
      if (rule !== undefined) await netns.ip(at.version, "rule", "delete", "priority", "100");
    }
  });

  Deno.test(`queryRoute() judges a packet that comes in, and one to a port, ${at.version}`, async () => {
    await using host = await Host.open();
    const { netns, client, underlayLinkIndex } = host;
    const [own, peer] = at.version === "-4" ? ["192.0.2.1", "192.0.2.2"] : ["2001:db8::1", "2001:db8::2"];
    const destination: Address = parseAddress(peer!);
    const source = parseAddress(own!);
    const [here] = at.version === "-4" ? [parsePrefix("192.0.2.0/24")] : [parsePrefix("2001:db8::/64")];
    const way = queryRoute(client, { destination, source, udpPort: 8472 });
    assertEquals(way.route?.destination, here);
    assertEquals(way.route?.hops, [{ linkIndex: underlayLinkIndex }]);
    const back = queryRoute(client, {
      destination: source,
      source: destination,
      inputLinkIndex: underlayLinkIndex,
    });
    assertEquals(back.route?.type, RTN_LOCAL);
    const rule = ["priority", "90", "ipproto", "udp", "dport", "8472"];
    await netns.ip(at.version, "rule", "add", ...rule, "unreachable");
    assertEquals(queryRoute(client, { destination, source, udpPort: 8472 }), { errno: 101 });
    assertEquals(queryRoute(client, { destination, source, udpPort: 4789 }).route?.destination, here);
    const dump = dumpRules(client, at.family);
    const steps = walkRoute({ destination, source }, dump, () => []);
    assertEquals(steps.find(({ rule }) => rule.priority === 90)?.role, "unknown");
  });
}

function textOf({ route, errno }: RouteAnswer): string {
  if (route === undefined) return `errno ${errno}`;
  const [hop] = route.hops;
  const to = route.destination;
  return `${route.table} ${formatPrefix(to)} ${hop?.gateway === undefined ? "" : formatAddress(hop.gateway)}`;
}
