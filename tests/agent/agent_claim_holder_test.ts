import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { AgentClaims, claimsOf } from "../../src/agent/agent_claim.ts";
import { networksOfOthers } from "../../src/agent/other_agents.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { Libc } from "../../src/linux/libc.ts";
import { namedSockets, namedSocketsIn } from "../../src/linux/unix_sockets.ts";
import type { Log } from "../../src/log/log.ts";
import { AS_NOBODY, NamedProcess, SOCKETS } from "../double/named_process.ts";
import { TestNetns } from "../double/netns.ts";

const log: Log = { write: () => {} };
const AGENT = claimsOf(
  parseNetworkConfig('{"Network": "10.244.0.0/16"}', { source: "net-conf.json" }).config,
);
const NAME = "loden/network/10.244.0.0/16";
const NO_CAPABILITY = ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];

interface Case {
  readonly what: string;
  readonly as: readonly string[];
  readonly socket: keyof typeof SOCKETS;
  readonly name: string;
  /** What an agent that starts says then, why it waits or whom it does not heed; "nothing" if it has no doubt. */
  readonly waits?: string;
  readonly doubt?: string;
}

const cases: readonly Case[] = [
  ...(["bound", "listening", "full"] as const).flatMap((socket): Case[] => [
    { what: "another user", as: AS_NOBODY, socket, name: NAME, doubt: `user 65534 has the name @${NAME} (` },
    {
      what: "another user",
      as: AS_NOBODY,
      socket,
      name: "loden/network/0.0.0.0/0",
      doubt: "user 65534 has the name @loden/network/0.0.0.0/0 (",
    },
    {
      what: "root without capabilities",
      as: NO_CAPABILITY,
      socket,
      name: NAME,
      doubt: `PID without CAP_NET_ADMIN has the name @${NAME}, but may not`,
    },
    {
      what: "root",
      as: [],
      socket,
      name: NAME,
      waits: "another agent of network 10.244.0.0/16 runs on this host (PID)",
    },
    {
      what: "root",
      as: [],
      socket,
      name: "loden/network/10.244.7.0/24",
      waits: "Network 10.244.0.0/16 overlaps 10.244.7.0/24 of another agent on this host (PID)",
    },
    {
      what: "root",
      as: [],
      socket,
      name: "loden/link/flannel.1",
      waits: "link flannel.1 belongs to the agent of",
    },
  ]),
  {
    what: "another user",
    as: AS_NOBODY,
    socket: "connected",
    name: NAME,
    doubt: "a connected socket has the name",
  },
  ...[NAME, "loden/network/0.0.0.0/0"].flatMap((name) =>
    (["datagram", "forged"] as const).map((socket): Case => ({
      what: "another user",
      as: AS_NOBODY,
      socket,
      name,
    }))
  ),
];

for (const { what, as, socket, name, waits, doubt } of cases) {
  Deno.test(`an agent ${waits ? "waits" : "does not wait"} for a ${socket} socket @${name} of ${what}`, async () => {
    await using netns = await TestNetns.create();
    const folder = await Deno.makeTempDir({ prefix: "lodentest-claim-" });
    using libc = new Libc();
    await using holder = await NamedProcess.start(netns.name, { as, program: SOCKETS[socket], name });
    try {
      using claims = new AgentClaims({ libc, log, subnetFilePath: `${folder}/subnet.env` });
      const said = libc.inNetns(netns.path, () => claims.take(AGENT));
      const doubts = claims.conditions.map(({ sentence }) => sentence);
      const pid = `process ${holder.pid}`;
      if (waits === undefined) assertEquals(said, undefined);
      else assertStringIncludes(said ?? "nothing", waits.replace("PID", pid));
      assertEquals(doubts.length, doubt === undefined ? 0 : 1, doubts.join());
      assertStringIncludes(doubts.join(), doubt?.replace("PID", pid) ?? "");
      // What is looked at before something is removed that agents have.
      const others = waits !== undefined && name.includes("network")
        ? [name.slice("loden/network/".length)]
        : [];
      assertEquals(libc.inNetns(netns.path, () => networksOfOthers(libc)), others);
      assertEquals(
        libc.inNetns(netns.path, () => {
          claims.release();
          return claims.seesOthers;
        }),
        others.length > 0,
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

Deno.test("of a user with very many names an agent tells few, and among them its own", async () => {
  await using netns = await TestNetns.create();
  const folder = await Deno.makeTempDir({ prefix: "lodentest-claim-" });
  using libc = new Libc();
  const program = `s = [make(SOCK_STREAM) for _ in range(500)]
for i, one in enumerate(s): one.bind(name if i == 499 else f'\\0loden/network/10.244.{i % 256}.0/{24 + i // 256}')`;
  await using _holder = await NamedProcess.start(netns.name, { as: AS_NOBODY, program, name: NAME });
  try {
    using claims = new AgentClaims({ libc, log, subnetFilePath: `${folder}/subnet.env` });
    assertEquals(libc.inNetns(netns.path, () => namedSockets(libc, "loden/network/")).length, 500);
    assertEquals(libc.inNetns(netns.path, () => claims.take(AGENT)), undefined);
    const sentences = claims.conditions.map(({ sentence }) => sentence);
    assert(sentences.length < 10, sentences.join("\n"));
    assertStringIncludes(sentences.join(), `@${NAME} `);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("where the kernel has no unix_diag the list of proc(5) is read: streams with a name that are not connected", () => {
  const list = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 11 @loden/network/10.244.0.0/16
0000000000000000: 00000002 00000000 00000000 0001 01 12 @loden/link/flannel.1
0000000000000000: 00000003 00000000 00000000 0001 03 13 @loden/link/flannel.1
0000000000000000: 00000002 00000000 00000000 0001 02     0 @loden/link/flannel.1
0000000000000000: 00000002 00000000 00000000 0002 01 14 @loden/network/0.0.0.0/0
0000000000000000: 00000002 00000000 00010000 0001 01 15 /run/@loden/network/10.9.0.0/16
0000000000000000: 00000003 00000000 00000000 0001 03 16
`;
  assertEquals(namedSocketsIn(list).map(({ name, inode }) => `${inode} ${name}`), [
    "11 loden/network/10.244.0.0/16",
    "12 loden/link/flannel.1",
  ]);
});
