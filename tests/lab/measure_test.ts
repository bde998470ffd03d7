import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { pairRounds, parseIperf, parsePing, type PingResult } from "../../src/lab/measure.ts";
import { AF_INET, AF_INET6 } from "../../src/model/address.ts";

const pings: [command: string, output: string, result: PingResult][] = [
  [
    "ping -c5 -i0.2 (iputils 20221126), all answered",
    `PING 10.244.2.2 (10.244.2.2) 56(84) bytes of data.
64 bytes from 10.244.2.2: icmp_seq=1 ttl=62 time=0.173 ms

--- 10.244.2.2 ping statistics ---
5 packets transmitted, 5 received, 0% packet loss, time 814ms
rtt min/avg/max/mdev = 0.082/0.134/0.173/0.031 ms
`,
    { sent: 5, received: 5, averageMs: 0.134 },
  ],
  [
    "the same, the next router answering for a host that it can't reach",
    `PING 10.244.3.2 (10.244.3.2) 56(84) bytes of data.
From 10.244.2.1 icmp_seq=1 Destination Net Unreachable

--- 10.244.3.2 ping statistics ---
5 packets transmitted, 0 received, +5 errors, 100% packet loss, time 816ms

`,
    { sent: 5, received: 0, averageMs: undefined },
  ],
  [
    "the same, some lost",
    `--- 10.244.3.2 ping statistics ---
5 packets transmitted, 3 received, 40% packet loss, time 4102ms
rtt min/avg/max/mdev = 11.021/12.500/13.100/0.931 ms, pipe 2
`,
    { sent: 5, received: 3, averageMs: 12.5 },
  ],
  [
    "busybox ping",
    `--- 10.244.3.2 ping statistics ---
5 packets transmitted, 5 packets received, 0% packet loss
round-trip min/avg/max = 0.061/0.074/0.090 ms
`,
    { sent: 5, received: 5, averageMs: 0.074 },
  ],
  ["ping that did not start", "", { sent: 0, received: 0, averageMs: undefined }],
];

for (const [command, output, result] of pings) {
  Deno.test(`parsePing() reads the summary of ${command}`, () => {
    assertEquals(parsePing(output), result);
  });
}

const reports: [output: string, result: number | string, why: string][] = [
  ['{"end": {"sum_received": {"bits_per_second": 9.5e9}}}', 9.5e9, "what arrived counts"],
  ['{"end": {}, "error": "unable to connect to server"}', "unable to connect to server", "its own words"],
  ["{}", "iperf3 reports no sum", "there is nothing in it"],
  ["", "iperf3 printed no report", "it was killed"],
];

for (const [output, result, why] of reports) {
  Deno.test(`parseIperf() makes ${JSON.stringify(result)} of \`${output}\`: ${why}`, () => {
    assertEquals(parseIperf(output), result);
  });
}

Deno.test("pairRounds() has every direction once in each family, and no host twice in a round", () => {
  const hosts = ["a", "b", "c", "d"].map((name) => ({ name }) as LabHost);
  const rounds = pairRounds(hosts, [AF_INET, AF_INET6]);
  assertEquals(rounds.length, 6);
  for (const round of rounds) {
    assertEquals(new Set(round.map(({ from }) => from)).size, 4);
    assertEquals(new Set(round.map(({ to }) => to)).size, 4);
  }
  const pairs = rounds.flat().map(({ from, to, family }) => `${from.name}${to.name}${family}`);
  assertEquals(new Set(pairs).size, 4 * 3 * 2);
  assertEquals(rounds.flat().filter(({ from, to }) => from === to), []);
  assertEquals(pairRounds(hosts.slice(0, 1), [AF_INET]), []);
});
