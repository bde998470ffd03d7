import { assertEquals, assertStringIncludes } from "@std/assert";
import type { RulesReport } from "../../src/firewall/traffic_rules.ts";
import { HALVES, NftHost, wishes } from "../double/nft_host.ts";

const JUMP = '-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD';
/** What flannel's chain says in each family. */
const FLANNEL = {
  iptables: `-N FLANNEL-FWD
-A FLANNEL-FWD -s 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d 10.244.0.0/16 -m comment --comment "flanneld forward" -j ACCEPT
`,
  ip6tables: `-N FLANNEL-FWD
-A FLANNEL-FWD -s fd00:10:244::/56 -m comment --comment "flanneld forward" -j ACCEPT
-A FLANNEL-FWD -d fd00:10:244::/56 -m comment --comment "flanneld forward" -j ACCEPT
`,
} as const;

/** Rules that are there before, as arguments of iptables, and where ours comes among those of FORWARD. */
const hosts: readonly { name: string; rules: string; forward: string }[] = [
  {
    name: "policy DROP alone",
    rules: "-P FORWARD DROP",
    forward: "-P FORWARD DROP\nJUMP",
  },
  {
    name: "nothing is dropped yet",
    rules: "-A FORWARD -i lo -j ACCEPT",
    forward: "-P FORWARD ACCEPT\n-A FORWARD -i lo -j ACCEPT\nJUMP",
  },
  {
    name: "a final REJECT, behind what another program drops for a reason",
    rules: `
      -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
      -A FORWARD -i eth7 -m comment --comment "policy" -j DROP
      -A FORWARD -j REJECT
      -A FORWARD -i lo -j ACCEPT`,
    forward: `-P FORWARD ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -i eth7 -m comment --comment policy -j DROP
JUMP
-A FORWARD -j REJECT
-A FORWARD -i lo -j ACCEPT`,
  },
  {
    name: "Docker's chains and policy DROP",
    rules: `
      -P FORWARD DROP
      -N DOCKER
      -N DOCKER-USER
      -N DOCKER-ISOLATION
      -A DOCKER-USER -j RETURN
      -A DOCKER-USER -j DROP
      -A DOCKER-ISOLATION -i docker0 ! -o docker0 -j DROP
      -A DOCKER-ISOLATION -j RETURN
      -A FORWARD -j DOCKER-USER
      -A FORWARD -j DOCKER-ISOLATION
      -A FORWARD -o docker0 -j DOCKER`,
    forward: `-P FORWARD DROP
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-ISOLATION
-A FORWARD -o docker0 -j DOCKER
JUMP`,
  },
  {
    name: "another program's chain that logs and drops all that comes to its end",
    rules: `
      -N LAST
      -N END
      -A END -j LOG --log-prefix "dropped: "
      -A END -m comment --comment "the end" -j DROP
      -A LAST -i lo -j ACCEPT
      -A LAST -j END
      -A FORWARD -i lo -j ACCEPT
      -A FORWARD -j LAST`,
    forward: "-P FORWARD ACCEPT\n-A FORWARD -i lo -j ACCEPT\nJUMP\n-A FORWARD -j LAST",
  },
  {
    name: "rules that drop only some",
    rules: `
      -A FORWARD -m conntrack --ctstate INVALID -j DROP
      -A FORWARD -p tcp --dport 25 -j REJECT
      -A FORWARD -m mark --mark 0x1 -j DROP`,
    forward: `-P FORWARD ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -p tcp -m tcp --dport 25 -j REJECT
-A FORWARD -m mark --mark 0x1 -j DROP
JUMP`,
  },
];

/** The rules of FORWARD and FLANNEL-FWD, as a caller of iptables is shown them. */
async function shown(host: NftHost, program: string): Promise<{ forward: string; flannel: string }> {
  const forward = (await host.exec(program, "-S", "FORWARD"))
    .replaceAll(/ --reject-with icmp6?-port-unreachable/g, "");
  return { forward, flannel: await host.exec(program, "-S", "FLANNEL-FWD") };
}

for (const program of ["iptables", "ip6tables"] as const) {
  for (const { name, rules, forward } of hosts) {
    Deno.test(`forwarded packets of pods are accepted where ${program} has: ${name}`, async () => {
      await using host = await NftHost.open();
      const commands = rules.trim().split("\n").map((rule) => `${program} ${rule.trim()}`);
      await host.script(commands.join("\n"));
      const before = await host.exec(`${program}-save`, "-t", "filter");
      host.keep();
      const expected = { forward: forward.replace("JUMP", JUMP) + "\n", flannel: FLANNEL[program] };
      assertEquals(await shown(host, program), expected);
      const network = program === "iptables" ? "10.244.0.0/16" : "fd00:10:244::/56";
      // flanneld's own checks.
      await host.script(`
        ${program} -C FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
        ${program} -C FLANNEL-FWD -s ${network} -m comment --comment "flanneld forward" -j ACCEPT
        ${program} -C FLANNEL-FWD -d ${network} -m comment --comment "flanneld forward" -j ACCEPT`);
      assertEquals(host.keep().changed, 0);
      // What iptables writes anew stays as wanted; what it was, iptables can restore.
      await host.script(`rules=$(${program}-save -t filter); echo "$rules" | ${program}-restore`);
      assertEquals(host.keep().changed, 0, "the same rules, written by iptables");
      host.keep(wishes({ isForwarding: false }));
      assertEquals(comparable(await host.exec(`${program}-save`, "-t", "filter")), comparable(before));
    });
  }
}

/** What iptables-save says without the hours. */
function comparable(saved: string): string {
  return saved.replaceAll(/^#.*\n/gm, "");
}

Deno.test("no table of iptables is made where there is none, nor a chain in one without FORWARD", async () => {
  await using host = await NftHost.open();
  host.keep();
  assertEquals(
    await host.exec("nft", "list", "tables"),
    "table ip loden-10.244.0.0-16\ntable ip6 loden-fd00_10_244__-56\n",
  );
  await host.script("iptables -A INPUT -i lo -j ACCEPT");
  const filter = await host.list("table", "ip", "filter");
  host.keep();
  assertEquals(await host.list("table", "ip", "filter"), filter);
});

const accepted: [name: string, rules: string, but: string, then?: string][] = [
  ["nothing is refused", "iptables -A FORWARD -i lo -j ACCEPT", ""],
  [
    "new connections are refused before",
    "iptables -A FORWARD -m conntrack --ctstate NEW -j REJECT",
    ", but for what is refused before that by 1 rule of FORWARD",
  ],
  [
    "the same comes in front later",
    "iptables -P FORWARD DROP",
    ", but for what is refused before that by 1 rule of FORWARD",
    "iptables -I FORWARD 1 -m conntrack --ctstate NEW -j REJECT",
  ],
  [
    "the same comes behind later, and does nothing",
    "iptables -P FORWARD DROP",
    "",
    "iptables -A FORWARD -m conntrack --ctstate NEW -j REJECT",
  ],
  [
    "ours goes in front of what refuses everything",
    `iptables -A FORWARD -p tcp --dport 25 -j DROP
     iptables -A FORWARD -p tcp --dport 26 -j DROP
     iptables -N USER
     iptables -A FORWARD -j USER
     iptables -A FORWARD -j REJECT
     iptables -A FORWARD -p tcp --dport 27 -j DROP`,
    ", but for what is refused before that by 2 rules of FORWARD and by chain USER",
  ],
];

for (const [name, rules, but, then] of accepted) {
  Deno.test(`what holds of forwarded packets is said with what is refused before: ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script(rules);
    const said = () => host.keep().effective.filter((line) => line.includes("forwarded"));
    const expected = [
      `IPv4: forwarded packets of 10.244.0.0/16 are accepted${but}`,
      "IPv6: forwarded packets of fd00:10:244::/56 are accepted",
    ];
    if (then === undefined) assertEquals(said(), expected);
    else said();
    if (then !== undefined) await host.script(then);
    assertEquals(said(), expected);
  });
}

const troubles: [name: string, script: string][] = [
  ["flushed", "iptables -F FORWARD"],
  ["emptied of all chains", "iptables -F; iptables -X"],
  ["removed with its table", "nft delete table ip filter; iptables -P FORWARD DROP"],
  ["changed in its policy", "iptables -P FORWARD ACCEPT; iptables -P FORWARD DROP"],
  ["given a refusal in front", "iptables -I FORWARD 1 -j DROP"],
  ["given a second jump", `iptables -A FORWARD -j FLANNEL-FWD; iptables -I FORWARD -j FLANNEL-FWD`],
  ["robbed of one rule of the chain", "iptables -D FLANNEL-FWD 1"],
  ["given a rule of the chain twice", `iptables -A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT`],
];

for (const [name, script] of troubles) {
  Deno.test(`iptables' FORWARD is mended when it was ${name}`, async () => {
    await using host = await NftHost.open();
    await host.script("iptables -P FORWARD DROP\niptables -A FORWARD -j REJECT");
    host.keep();
    await host.script(script);
    host.keep();
    const { forward, flannel } = await shown(host, "iptables");
    assertEquals(flannel, FLANNEL.iptables);
    const lines = forward.trim().split("\n").slice(1);
    assertEquals(lines.filter((line) => line.includes("FLANNEL-FWD")), [JUMP]);
    assertEquals(lines[0], JUMP, "in front of all refusals");
    assertEquals(host.keep().changed, 0);
  });
}

Deno.test("another program's rules in flannel's chain stay", async () => {
  await using host = await NftHost.open();
  const theirs = ["-i lo -j DROP", "-s 10.244.0.0/16 -j DROP", "-s 10.244.0.0/16 -d 192.0.2.0/24 -j ACCEPT"];
  await host.script("iptables -P FORWARD DROP");
  host.keep();
  await host.script(theirs.map((rule) => `iptables -A FLANNEL-FWD ${rule}`).join("\n"));
  assertEquals(host.keep().changed, 0);
  await host.script("iptables -D FLANNEL-FWD 1");
  host.keep();
  host.keep(wishes({ isForwarding: false }));
  const { forward, flannel } = await shown(host, "iptables");
  assertEquals(flannel.trim().split("\n"), [
    "-N FLANNEL-FWD",
    ...theirs.map((rule) => `-A FLANNEL-FWD ${rule}`),
  ]);
  assertEquals(forward, `-P FORWARD DROP\n${JUMP}\n`);
});

Deno.test("what else drops forwarded packets is named, as long as it does", async () => {
  await using host = await NftHost.open();
  await host.script(`nft -f - <<'END'
    table inet firewalld {
      chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        iifname "lo" accept
        reject with icmpx admin-prohibited
      }
    }
    table ip wall {
      chain f {
        type filter hook forward priority 0; policy drop
      }
    }
    table ip6 quiet {
      chain f {
        type filter hook forward priority 0; policy accept;
        ip6 nexthdr 1 drop
      }
    }
    table ip in {
      chain i {
        type filter hook input priority 0; policy drop
      }
    }
    table bridge b {
      chain f {
        type filter hook forward priority 0; policy drop
      }
    }
END`);
  const named = ({ doubted = [] }: RulesReport) => doubted.map((line) => line.split(":")[0]);
  const both = [
    "chain filter_FORWARD of table inet firewalld ends with a refusal",
    "chain f of table ip wall has policy drop",
  ];
  const report = host.keep();
  assertEquals(named(report), both);
  assertStringIncludes(report.doubted![0]!, "10.244.0.0/16 and fd00:10:244::/56");
  assertEquals(named(host.keep()), both);
  assertEquals(named(host.keep(wishes({ families: [HALVES.ip6] }))), both.slice(0, 1));
  assertEquals(host.keep(wishes({ isForwarding: false })).doubted, []);
  await host.script("nft delete table ip wall; nft flush chain inet firewalld filter_FORWARD");
  assertEquals(named(host.keep()), []);
});

Deno.test("chains of a dormant table drop nothing, until it is woken; ours in one are told of", async () => {
  await using host = await NftHost.open();
  await host.script(`nft -f - <<'END'
    table inet wall {
      flags dormant
      chain f {
        type filter hook forward priority 0; policy drop
      }
    }
END
    iptables -P FORWARD DROP`);
  const said = ({ doubted = [] }: RulesReport) => doubted.map((line) => line.split(":")[0]);
  assertEquals(said(host.keep()), []);
  await host.script("nft add table inet wall");
  assertEquals(said(host.keep()), ["chain f of table inet wall has policy drop"]);
  await host.script("nft delete table inet wall; nft 'add table ip filter { flags dormant; }'");
  const [warning] = host.keep().warnings;
  assertEquals(warning?.split(":")[0], "table ip filter is dormant");
  await host.script(/\((nft .*) wakes it\)/.exec(warning!)![1]!);
  assertEquals(host.keep().warnings, []);
});
