import { assertEquals, assertLess } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";
import type { LabHost } from "../../src/lab/host.ts";
import { descriptorLimit, limitDescriptors, raiseDescriptorLimit } from "../../src/linux/descriptor_limit.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { AF_INET, parseAddress } from "../../src/model/address.ts";
import { processCost } from "../bench/machine.ts";
import { httpGet } from "../double/overlay_http.ts";
import { agentCommand, hostsOf, until, untilReady, withOverlay } from "../double/overlay_rig.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";

const AT = parseAddress("127.0.0.1");
const PORT = 8081;
/** What the agent is asked after so many. */
const BATCH = 250;
/** What a kubelet gives a probe, unless told. */
const PROBE_MS = 1000;
const ENOUGH = 65_536n;
const USUAL_DESCRIPTORS = 1024n;
const MAX_RSS_MIB = 110;

/** What a client sends, and then no more. */
const clients: readonly (readonly [name: string, text: string])[] = [
  ["say nothing", ""],
  ["send half a head", "GET /status HTTP/1.1\r\nHost: a\r\n"],
  ["read no answer", "GET /metrics HTTP/1.1\r\n\r\n"],
];

async function probe(libc: Libc, { netns }: LabHost): Promise<number> {
  const askedAtMs = performance.now();
  assertEquals((await httpGet(libc, netns, "/healthz"))?.body, "flanneld is running");
  return performance.now() - askedAtMs;
}

async function untilRepaired({ netns }: LabHost): Promise<void> {
  await netns.mustExec("ip", "link", "set", "flannel.1", "down");
  await until("see the link up again", async () => {
    return (await netns.mustExec("ip", "link", "show", "flannel.1")).includes(",UP") || undefined;
  });
}

for (const [name, text] of clients) {
  Deno.test(`an agent is well, small and answers probes beside 10,000 connections that ${name}`, async (t) => {
    // What is small is the binary.
    const agentCommand = [await compiledBinary(), "agent"];
    await withOverlay({ hosts: 1, withAgents: false, agentCommand }, async (lab, libc) => {
      raiseDescriptorLimit(libc);
      const [host] = hostsOf(lab);
      const agent = host.startAgent();
      await untilReady(libc, host);
      // As where it may give itself no more.
      const { hard } = descriptorLimit(libc);
      limitDescriptors(libc, { soft: USUAL_DESCRIPTORS, hard }, agent.pid);
      using stack = new DisposableStack();
      for (const count of [1000, 2000, 10_000]) {
        let total = count === 1000 ? 0 : count === 2000 ? 1000 : 2000;
        let longestMs = 0;
        while (total < count) {
          for (let at = 0; at < BATCH; at++, total++) {
            const socket = stack.use(NetnsSocket.tcp(libc, host.netns, AF_INET));
            socket.connect(AT, PORT);
            if (text !== "") socket.send(new TextEncoder().encode(text));
          }
          longestMs = Math.max(longestMs, await probe(libc, host));
        }
        const { rssMiB } = await processCost(agent.pid);
        await t.step(`${count}: ${longestMs.toFixed(0)} ms, ${rssMiB.toFixed(0)} MiB`, () => {
          assertLess(longestMs, PROBE_MS);
          assertLess(rssMiB, MAX_RSS_MIB);
        });
      }
      await untilRepaired(host);
      assertEquals(agent.end, undefined);
      assertEquals((await host.stopAgent()).status.code, 0);
    });
  });
}

Deno.test("an agent that has no descriptors left goes on, says so, and answers when it has one again", async () => {
  await withOverlay({ hosts: 1, withAgents: false }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    const agent = host.startAgent();
    await untilReady(libc, host);
    const { hard } = descriptorLimit(libc);
    // Nothing above the lowest ones, which it has all.
    limitDescriptors(libc, { soft: 8n, hard }, agent.pid);
    using socket = NetnsSocket.tcp(libc, host.netns, AF_INET);
    socket.connect(AT, PORT);
    socket.send(new TextEncoder().encode("GET /healthz HTTP/1.0\r\n\r\n"));
    await until("read of it in the log", async () => {
      return (await host.logLines()).some((line) => line.includes('"health-not-served"')) || undefined;
    });
    await untilRepaired(host);
    assertEquals(agent.end, undefined);
    limitDescriptors(libc, { soft: USUAL_DESCRIPTORS, hard }, agent.pid);
    await until("be answered", () => {
      const bytes = socket.receive();
      return bytes && new TextDecoder().decode(bytes).includes("flanneld is running") || undefined;
    });
    await until("read that it is over", async () => {
      const lines = await host.logLines();
      return lines.some((line) => line.includes('cleared","code":"health-not-served"')) || undefined;
    });
  });
});

Deno.test("an agent may have as many descriptors as it may give itself", async () => {
  const command = ["sh", "-c", `ulimit -Sn ${USUAL_DESCRIPTORS}; exec "$0" "$@"`, ...agentCommand];
  await withOverlay({ hosts: 1, withAgents: false, agentCommand: command }, async (lab, libc) => {
    const [host] = hostsOf(lab);
    const agent = host.startAgent();
    await untilReady(libc, host);
    const { hard } = descriptorLimit(libc);
    const limits = await Deno.readTextFile(`/proc/${agent.pid}/limits`);
    const [, soft] = /^Max open files\s+(\d+)/m.exec(limits)!;
    assertEquals(BigInt(soft!), hard < ENOUGH ? hard : ENOUGH);
  });
});
