import { assert, assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import type { Lab } from "../../src/lab/lab.ts";
import { AF_INET, AF_INET6, type Family, formatAddress, parseAddress } from "../../src/model/address.ts";
import { kernelLines, type Run } from "../double/flanneld_leaves.ts";
import { assertNoneLost, type PingTarget, RunningPing } from "../double/overlay_ping.ts";
import { agentCommand, hostsOf, until, untilSettled, withOverlay } from "../double/overlay_rig.ts";

const BOTH: readonly Family[] = [AF_INET, AF_INET6];
/** `$1` is in the place of the machine's /etc, and for nobody else: ip-netns(8) unshares mounts. */
const WITH_ETC = 'mount --bind "$1" /etc; shift; unset DENO_TLS_CA_STORE; exec "$@"';
/** Somebody outside of the cluster, who has no way to pods: what it answers was masqueraded. */
const OUTSIDE: Readonly<Record<Family, number>> = { 2: 250, 10: 0xfa };

const cases: readonly {
  readonly name: string;
  readonly backend: unknown;
  readonly usesNftables?: boolean;
}[] = [
  { name: "vxlan", backend: { Type: "vxlan" } },
  { name: "vxlan, nftables", backend: { Type: "vxlan" }, usesNftables: true },
  { name: "DirectRouting", backend: { Type: "vxlan", DirectRouting: true } },
  { name: "host-gw", backend: { Type: "host-gw" } },
];

/** Each of them a new connection, one after the other, from a pod. */
class Flows implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #read: Promise<void>;
  #output = "";
  #isStopped = false;

  constructor(from: LabHost, address: string) {
    const line = 'while :; do ping -q -n -c1 -W2 "$1" >/dev/null 2>&1 && echo came || echo lost; done';
    this.#child = new Deno.Command("ip", {
      args: ["netns", "exec", from.pod.netns.name, "sh", "-c", line, "sh", address],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#read = this.#follow();
  }

  async #follow(): Promise<void> {
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) this.#output += text;
  }

  count(word: string): number {
    return this.#output.split("\n").filter((line) => line === word).length;
  }

  async untilMore(count: number): Promise<void> {
    const enough = this.count("came") + count;
    await until(
      `see ${count} more flows`,
      () => this.count("came") >= enough || undefined,
      () => this.#output.slice(-80),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#read;
  }
}

/** Gives the segment somebody outside of the cluster. */
async function addOutside(lab: Lab): Promise<PingTarget> {
  const bridges: { ifname: string }[] = JSON.parse(
    (await lab.underlay.exec("ip", "-j", "link", "show", "type", "bridge")).stdout,
  );
  const addresses = lab.hosts[0]!.placements.map(({ address }) =>
    typeof address === "number"
      ? parseAddress(formatAddress(address).replace(/\d+$/, String(OUTSIDE[AF_INET])))
      : parseAddress(formatAddress(address).replace(/[0-9a-f]+$/, OUTSIDE[AF_INET6].toString(16)))
  );
  for (const address of addresses) {
    const length = typeof address === "number" ? 24 : 64;
    const args = ["address", "add", `${formatAddress(address)}/${length}`, "dev", bridges[0]!.ifname];
    const { code, stderr } = await lab.underlay.exec("ip", ...args, ...length === 64 ? ["nodad"] : []);
    assertEquals(code, 0, stderr);
  }
  return { name: "outside", pod: { addresses } };
}

for (const families of [[AF_INET] as readonly Family[], BOTH]) {
  for (const { name, backend, usesNftables = false } of cases) {
    if (usesNftables && families.length === 1) continue;
    const which = families.length === 1 ? "IPv4" : "both families";
    Deno.test(`hand-back under traffic loses no packet and no new masqueraded flow: ${name}, ${which}`, async () => {
      const networkConfig = {
        Network: "10.244.0.0/16",
        ...families.length > 1 && { EnableIPv6: true, IPv6Network: "fd00:10:244::/56" },
        EnableNFTables: usesNftables,
        Backend: backend,
      };
      await withOverlay({ families, networkConfig, agentFlags: ["-ip-masq"] }, async (lab, libc) => {
        const [h1, h2, h3] = hostsOf(lab);
        await untilSettled(lab, libc);
        const outside = await addOutside(lab);
        await using stack = new AsyncDisposableStack();
        const pings: RunningPing[] = [];
        for (const family of families.keys()) {
          for (const [from, to] of [[h1, h2], [h2, h1], [h3, h1], [h1, outside], [h2, outside]] as const) {
            pings.push(stack.use(await RunningPing.start(from, to, family)));
          }
        }
        const flows = families.map((_, at) =>
          stack.use(new Flows(h1, formatAddress(outside.pod.addresses[at]!)))
        );
        const more = () =>
          Promise.all([
            ...pings.map((ping) => ping.untilMore(20)),
            ...flows.map((flow) => flow.untilMore(20)),
          ]);
        await more();
        // The third host stays one of Loden's.
        for (const host of [h1, h2]) {
          await host.stopAgent();
          await more();
          await handBack(host);
          await more();
        }
        for (const flow of flows) {
          await flow[Symbol.asyncDispose]();
          assert(flow.count("came") > 60, "flows came");
          assertEquals(flow.count("lost"), 0, `of ${flow.count("came")} flows`);
        }
        await assertNoneLost(pings);
      });
    });
  }
}

/** Hands a host back, and looks that its routes are flanneld's. */
async function handBack(host: LabHost): Promise<void> {
  const etc = `${host.directory}/etc`;
  await Deno.mkdir(etc);
  const command = [...agentCommand.slice(0, -1), "hand-back", `-subnet-file=${host.subnetFilePath}`];
  const { code, stdout, stderr } = await host.exec("sh", "-ec", WITH_ETC, "sh", etc, ...command);
  assertEquals([code, stderr], [0, ""], stdout);
  const run: Run = async (command, ...args) => (await host.exec(command, ...args)).stdout;
  const lines = await kernelLines(run);
  const ways = lines.filter((line) => /^route (10\.244|fd00:10:244)\S* via /.test(line));
  assertEquals(ways.length, 2 * host.families.length);
  for (const line of ways) assert(!/proto|metric (?!1024)/.test(line), line);
  const tables = await run("nft", "list", "tables");
  assert(!tables.includes("loden") && /flannel-ipv4|ip nat/.test(tables), tables);
}
