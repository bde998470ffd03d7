import { assert, assertEquals, assertMatch } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import {
  AF_INET,
  formatAddress,
  formatMac,
  formatPrefix,
  type Ipv4,
  parseAddress,
  parsePrefix,
  type Prefix,
} from "../../src/model/address.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { httpGet } from "../double/overlay_http.ts";
import { assertNoneLost, RunningPing } from "../double/overlay_ping.ts";
import { forgeLease, type RowChange } from "../double/overlay_registry.ts";
import {
  hostsOf,
  logSince,
  registryName,
  statusOf,
  until,
  untilReachable,
  untilReady,
  untilSettled,
  withOverlay,
} from "../double/overlay_rig.ts";
import { KernelView, vtepOf } from "../double/overlay_state.ts";

/** What a peer's lease is replaced by. */
interface Forgery {
  readonly name: string;
  readonly change: (
    peer: LabHost,
    others: { readonly reader: LabHost; readonly bystander: LabHost },
  ) => RowChange;
  /** What `/status` says about the peer. */
  readonly reason: RegExp;
  /** Whose place is contested by the claim: that host is not ready while it stands, and says by whom. */
  readonly contests?: "reader" | "bystander";
}

const backendData = (fields: Record<string, unknown>): RowChange => ({ backendData: JSON.stringify(fields) });
const macOf = (host: LabHost) => formatMac(vtepOf(host.client, AF_INET).link.mac);

function halfOf(host: LabHost): Prefix {
  const { address } = host.share.subnets[0]!;
  return { address: address as number + 128 as Ipv4, length: 25 };
}

const forgeries: readonly Forgery[] = [
  {
    name: "a multicast MAC",
    change: () => backendData({ VNI: 1, VtepMAC: "01:00:5e:00:00:01" }),
    reason: /no unicast VtepMAC/,
  },
  {
    name: "the MAC of another peer",
    change: (_, { bystander }) => backendData({ VNI: 1, VtepMAC: macOf(bystander) }),
    reason: /VtepMAC .* is already that of/,
    contests: "bystander",
  },
  {
    name: "the MAC of the reader",
    change: (_, { reader }) => backendData({ VNI: 1, VtepMAC: macOf(reader) }),
    reason: /VtepMAC .* is already that of/,
    contests: "reader",
  },
  {
    name: "the MAC 00:00:00:00:00:00, which an FDB takes for a default",
    change: () => backendData({ VNI: 1, VtepMAC: "00:00:00:00:00:00" }),
    reason: /no unicast VtepMAC/,
  },
  {
    name: "another VNI",
    change: (peer) => backendData({ VNI: 2, VtepMAC: macOf(peer) }),
    reason: /VNI is 2/,
  },
  {
    name: "a megabyte of backend data",
    change: (peer) => backendData({ VNI: 1, VtepMAC: macOf(peer), padding: "x".repeat(1024 * 1024) }),
    reason: /backend data is longer than 4096 bytes/,
  },
  {
    name: "deeply nested backend data",
    change: () => ({ backendData: `${"[".repeat(2000)}${"]".repeat(2000)}` }),
    reason: /no unicast VtepMAC/,
  },
  {
    name: "backend data that is not JSON",
    change: () => ({ backendData: '{"VNI":1,"VtepMAC":' }),
    reason: /backend data is not JSON/,
  },
  {
    name: "the whole cluster network as its subnet",
    change: () => ({ subnet: parsePrefix("10.244.0.0/16") }),
    reason: /10\.244\.0\.0\/16/,
  },
  {
    name: "a subnet that the cluster network does not have",
    change: () => ({ subnet: parsePrefix("192.0.2.0/24") }),
    reason: /192\.0\.2\.0\/24/,
  },
  {
    name: "half of the reader's subnet",
    change: (_, { reader }) => ({ subnet: halfOf(reader) }),
    reason: /overlaps/,
  },
  {
    name: "half of another peer's subnet",
    change: (_, { bystander }) => ({ subnet: halfOf(bystander) }),
    reason: /overlaps/,
  },
  {
    name: "a multicast underlay address",
    change: () => ({ underlayAddress: parseAddress("224.0.0.1") }),
    reason: /underlay address 224\.0\.0\.1/,
  },
];

// What two hosts contend for goes to the one that had it first: the liar's name is once the first, once the last.
for (const position of ["first", "last"] as const) {
  Deno.test(`a forged lease hurts only the peer that it is of, the ${position} by name`, async (t) => {
    await withOverlay({}, async (lab, libc) => {
      const all = hostsOf(lab);
      const liar = position === "first" ? all[0] : all[2];
      const honest = all.filter((host) => host !== liar);
      const [reader, bystander] = honest as [LabHost, LabHost];
      await untilSettled(lab, libc);
      const views = honest.map(({ client }) => new KernelView(client));
      const whole = views.map((view) => view.lines());
      const withoutLiar = whole.map((lines) => lines.filter((line) => !isAbout(line, liar)));
      const good: Required<RowChange> = {
        backendData: JSON.stringify({ VNI: 1, VtepMAC: macOf(liar) }),
        subnet: liar.share.subnets[0]!,
        underlayAddress: liar.underlayAddresses[0]!,
      };
      // The host that lies does not put its lease right.
      await liar.stopAgent();

      for (const { name, change, reason, contests } of forgeries) {
        await t.step(`${name}: only that peer is left out, and named`, async () => {
          await using stack = new AsyncDisposableStack();
          stack.defer(() => forgeLease(lab, liar, good));
          const pings = [
            stack.use(await RunningPing.start(reader, bystander)),
            stack.use(await RunningPing.start(bystander, reader)),
          ];
          await forgeLease(lab, liar, { ...good, ...change(liar, { reader, bystander }) });
          for (const host of honest) {
            const fault = await onlyFault(libc, host, registryName(liar));
            if (host === reader) assertMatch(fault, reason);
            assert(fault.length < 600, "a reason is cut");
            const told = (await logSince(host, 0)).filter(({ event }) => event === "peer left out").at(-1);
            assertEquals(told?.host, registryName(liar));
          }
          assertEquals(views.map((view) => view.lines()), withoutLiar);
          for (const host of honest) {
            const isContested = contests !== undefined && host === { reader, bystander }[contests];
            if (isContested) await untilContested(libc, host, registryName(liar));
            else await untilReady(libc, host);
          }
          await Promise.all(pings.map((ping) => ping.untilMore(10)));
          await assertNoneLost(pings);
        });
        await t.step(`${name}: the peer is taken in again once its lease is right`, async () => {
          for (const [index, view] of views.entries()) {
            await until(`see ${honest[index]!.name} take the peer in again`, () => {
              return view.lines().join() === whole[index]!.join() ? true : undefined;
            });
          }
        });
      }
      await untilReachable(lab);
    });
  });
}

/** Waits until a host says that its place is contested, and by whom; of a liar that has fallen silent it is a note. */
async function untilContested(libc: Libc, host: LabHost, liar: string): Promise<void> {
  const words = [`contested by ${liar}`, `${liar} claims what is this host's, and shows no sign of life`];
  let answer = "";
  await until(`see ${host.name} contested`, async () => {
    answer = (await httpGet(libc, host.netns, "/readyz"))?.body ?? "nobody listens";
    return words.some((phrase) => answer.includes(phrase)) ? true : undefined;
  }, () => answer);
}

/** Waits until `/status` names hosts that are left out; it must be `liar` alone. Returns why. */
async function onlyFault(libc: Libc, host: LabHost, liar: string): Promise<string> {
  const faults = await until(`see a fault in the status of ${host.name}`, async () => {
    const faults = (await statusOf(libc, host))?.pass.faults ?? [];
    return faults.length > 0 ? faults : undefined;
  });
  assertEquals(faults.map(({ host }) => host), [liar], `left out by ${host.name}`);
  return faults[0]!.reason;
}

/** Whether a line of a `KernelView` is there because of a peer. */
function isAbout(line: string, peer: LabHost): boolean {
  const subnet = peer.share.subnets[0]!;
  const marks = [`${formatAddress(subnet.address)} `, formatPrefix(subnet), macOf(peer)];
  return marks.some((mark) => line.includes(mark));
}
