import { assertEquals, assertStringIncludes } from "@std/assert";
import { forwardConditions } from "../../src/agent/forward_words.ts";
import type { Direction, Refused } from "../../src/firewall/forward_sweep.ts";
import { AF_INET, AF_INET6, type Family, parsePrefix } from "../../src/model/address.ts";

const HOSTS: Readonly<Record<string, string>> = {
  "10.244.2.0/24": "b",
  "10.244.3.0/24": "c",
  "fd00:2::/64": "b",
};
const BY = { family: 2, table: "filter", chain: "FORWARD", handle: 7n, line: 1, text: "drop" };

function refused(direction: Direction, subnet: string, changes: Partial<Refused["refusal"]> = {}): Refused {
  const refusal = { by: BY, does: "drops", isOfAnswers: false, ...changes } as const;
  return { direction, subnet: parsePrefix(subnet), refusal };
}

const [b, c, b6] = Object.keys(HOSTS) as [string, string, string];
const RULE = 'the rule with handle 7, line 1, of chain FORWARD of table ip filter, "drop"';

/** What rules refuse, and what is said: the codes, each with a part of its sentence. */
const CASES: readonly [name: string, refused: readonly Refused[], said: readonly [string, string][]][] = [
  ["nothing", [], []],
  ["all, out", [refused("out", b), refused("out", c)], [[
    "forwarding-dropped",
    `${RULE} drops all that pods of this host send to those of other hosts in IPv4: end what adds it ` +
    "(nft delete rule ip filter FORWARD handle 7, or accept it before)",
  ]]],
  [
    "all, in, by a policy",
    [b, c].map((one) =>
      refused("in", one, {
        by: { family: 1, table: "f", chain: "c", handle: undefined, text: "policy drop" },
      })
    ),
    [[
      "forwarding-dropped",
      "the policy drop of chain c of table inet f drops all that comes from other hosts for pods of this one in IPv4: " +
      "end what adds it (have a rule of inet f c accept it)",
    ]],
  ],
  ["all, both ways", [refused("out", b), refused("out", c), refused("in", b), refused("in", c)], [[
    "forwarding-dropped",
    `${RULE} drops all packets between pods of this host and those of other hosts in IPv4`,
  ]]],
  ["all both ways, by two rules", [
    ...[b, c].map((one) => refused("out", one, { does: "rejects" })),
    ...[b, c].map((one) => refused("in", one)),
  ], [["forwarding-dropped", `; ${RULE} drops all that comes from other hosts`]]],
  ["answers alone", [b, c].map((one) => refused("out", one, { isOfAnswers: true })), [[
    "forwarding-dropped",
    "drops what begins no connection, as answers do not, of all that pods of this host send to those of other hosts",
  ]]],
  ["one of two", [refused("out", b), refused("in", b)], [[
    "peers-filtered",
    "those of 1 of 2 other hosts: b: " +
    `${RULE} drops all packets between pods of this host and those of 10.244.2.0/24`,
  ]]],
  ["one family, and the other's only peer", [refused("out", c), refused("out", b6)], [
    ["forwarding-dropped", "in IPv6"],
    ["peers-filtered", "1 of 2 other hosts: c: "],
  ]],
  ["one of two, by IPsec", [refused("out", b, {
    by: {
      direction: 2,
      isBlocking: true,
      source: parsePrefix("10.244.0.0/16"),
      destination: parsePrefix("10.244.2.0/24"),
      priority: 0,
      isNarrower: false,
    },
  })], [[
    "peers-filtered",
    'the IPsec policy "src 10.244.0.0/16 dst 10.244.2.0/24 dir fwd action block" drops all that pods of this host send ' +
    "to 10.244.2.0/24: end what adds it (ip xfrm policy delete src 10.244.0.0/16 dst 10.244.2.0/24 dir fwd)",
  ]]],
  ["another address", [refused("out", b, { does: "leads elsewhere" })], [[
    "peers-filtered",
    "leads to another address all that pods of this host send to 10.244.2.0/24",
  ]]],
];

for (const [name, found, said] of CASES) {
  Deno.test(`forwardConditions() says what rules refuse: ${name}`, () => {
    const conditions = forwardConditions({
      refused: found,
      counts: new Map<Family, number>([[AF_INET, 2], [AF_INET6, 1]]),
      hostOf: ({ address }) =>
        Object.entries(HOSTS).find(([text]) => parsePrefix(text).address === address)?.[1],
    });
    assertEquals(
      conditions.map(({ code }) => code),
      said.map(([code]) => code) as typeof conditions[0]["code"][],
    );
    for (const [at, [, words]] of said.entries()) assertStringIncludes(conditions[at]!.sentence, words);
  });
}

Deno.test("forwardConditions() names some of many peers, and counts the others", () => {
  const all = Array.from({ length: 9 }, (_, at) => refused("in", `10.244.${at + 2}.0/24`));
  const counts = new Map<Family, number>([[AF_INET, 10]]);
  const [condition] = forwardConditions({ refused: all, counts, hostOf: () => undefined });
  assertStringIncludes(condition!.sentence, "those of 9 of 10 other hosts: 10.244.2.0/24: ");
  assertEquals(condition!.sentence.endsWith("; and 6 more"), true);
});
