import { assert, assertEquals } from "@std/assert";
import { hostGwBackend } from "../../src/overlay/backend/host_gw.ts";
import { addAddress, changeLink } from "../../src/lab/wiring.ts";
import { type Family, parseAddress } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";
import type { VxlanLink } from "../../src/model/state.ts";
import { RTM_DELADDR, RTM_NEWADDR } from "../../src/rtnetlink/address.ts";
import { NetlinkClient } from "../../src/netlink/client.ts";
import { EINTR, ENOBUFS, ENODEV, EPERM, errnoName } from "../../src/linux/errno.ts";
import { Libc } from "../../src/linux/libc.ts";
import { encodeLinkDeletion, queryLink } from "../../src/rtnetlink/link.ts";
import { RTM_DELNEIGH, RTM_NEWNEIGH } from "../../src/rtnetlink/neighbour.ts";
import { RTM_DELROUTE, RTM_NEWROUTE } from "../../src/rtnetlink/route_header.ts";
import { encodeVxlanRepair } from "../../src/rtnetlink/vxlan.ts";
import { RTM_DELLINK, RTM_NEWLINK } from "../../src/rtnetlink/link_header.ts";
import { Observer } from "../../src/reconcile/observe.ts";
import { failing, type Injection, recording, type RecordingTransport, SEAMS } from "../double/failing.ts";
import { linesOf } from "../double/kernel_lines.ts";
import { leaseOf, TestHost, type TestHostOptions } from "../double/test_host.ts";

const ENOMEM = 12;
const EBUSY = 16;
const ERRNOS = [EBUSY, ENOBUFS, EINTR, EPERM, ENODEV, ENOMEM];

const ROW_TYPES = [
  ...[RTM_NEWNEIGH, RTM_DELNEIGH, RTM_NEWROUTE, RTM_DELROUTE],
];
const DELETION_TYPES = [RTM_DELLINK, RTM_DELADDR, RTM_DELNEIGH, RTM_DELROUTE];
const LINK_TYPES = [RTM_NEWLINK, RTM_DELLINK, RTM_NEWADDR, RTM_DELADDR];

/** What peers are called, and where they are: in the segment of this host or beyond a router. */
const FAMILIES = {
  IPv4: {
    family: 2,
    subnet: (n: number) => `10.244.${n}.0/24`,
    near: (n: number) => `192.0.2.${n}`,
    far: (n: number) => `198.51.100.${n}`,
    foreign: { address: parseAddress("10.244.77.1"), length: 24 },
  },
  IPv6: {
    family: 10,
    subnet: (n: number) => `fd00:10:244:${n}::/64`,
    near: (n: number) => `2001:db8::${n}`,
    far: (n: number) => `2001:db8:9::${n}`,
    foreign: { address: parseAddress("fd00:10:244:77::1"), length: 64 },
  },
} as const;

/**
 * What a pass finds. To delete a link takes the kernel some 40 ms, so that only one backend begins without, and only
 * calls that make the link fail then.
 */
const STARTS = { "with other peers and a spoilt VTEP": spoil, "without a VTEP": clear } as const;
type Start = keyof typeof STARTS;
const SPOILT: Start = "with other peers and a spoilt VTEP";
const UNMADE: Start = "without a VTEP";

const BACKENDS: readonly {
  readonly name: string;
  readonly leaseType: string;
  readonly starts: readonly Start[];
  readonly options: TestHostOptions;
}[] = [
  { name: "vxlan", leaseType: "vxlan", starts: [SPOILT], options: {} },
  {
    name: "vxlan with direct routes",
    leaseType: "vxlan",
    starts: [SPOILT, UNMADE],
    options: { vxlan: { directRouting: true } },
  },
  {
    name: "host-gw",
    leaseType: "host-gw",
    starts: [SPOILT],
    options: { backend: (context) => hostGwBackend({}, context) },
  },
];

/** One call of a pass that goes wrong. */
interface Case {
  readonly injection: Injection;
  /** Which send it is or belongs to, counted from 0. */
  readonly send: number;
  /** The types of the requests that are hit. */
  readonly types: readonly number[];
}

/** Every call of a pass, each with each errno. */
function* casesOf({ sends, receives }: RecordingTransport): Generator<Case> {
  const calls = {
    request: sends.flatMap((types, send) => types.map((type) => ({ send, types: [type] }))),
    send: sends.map((types, send) => ({ send, types })),
    receive: receives.map((send) => ({ send, types: sends[send]! })),
    answers: sends.map((types, send) => ({ send, types })),
  };
  for (const seam of SEAMS) {
    for (const [n, call] of calls[seam].entries()) {
      for (const errno of seam === "answers" ? [ENOBUFS] : ERRNOS) {
        yield { injection: { seam, n, errno }, ...call };
      }
    }
  }
}

for (const { name: backend, leaseType, starts, options } of BACKENDS) {
  for (const [familyName, { family, subnet, near, far, foreign }] of Object.entries(FAMILIES)) {
    const isRouted = leaseType === "vxlan";
    const peer = (n: number, mac: string, host = isRouted && n % 2 === 1 ? far(n) : near(n)): Lease => ({
      ...leaseOf(`h${n}`, subnet(n), host, `0e:2a:00:00:00:${mac}`),
      backendType: leaseType,
    });
    const [a, b, c] = [peer(2, "0a"), peer(3, "0b"), peer(5, "0c")];
    const wanted = [a, b, c];
    // Here one peer is another than it was, one has gone, and one came.
    const before = [peer(2, "1a", near(12)), b, peer(4, "0d")];

    for (const start of starts) {
      Deno.test(`a pass with a failing call does the rest, and the next one mends all: ${backend}, ${familyName}, ${start}`, async () => {
        using libc = new Libc();
        await using host = await TestHost.open(libc, { family: family as Family, ...options });
        const client = new NetlinkClient(host.transport);
        const observer = new Observer(client);
        const { state } = host.deps(wanted).desire()!;
        const vtep = state.links.find((link): link is VxlanLink => link.kind === "vxlan");
        const lines = () => linesOf(observer, state);
        const site = { host, client, vtep, before, foreign };

        const owners = new Map<string, string>();
        host.reconcile([]);
        const nobody = lines();
        for (const one of [...wanted, ...before]) {
          host.reconcile([one]);
          for (const line of lines()) if (!nobody.includes(line)) owners.set(line, one.host);
        }
        STARTS[start](site);
        const atStart = lines();
        const calls = recording(host.transport);
        assertEquals(host.reconcile(wanted, calls).failures, []);
        const expected = lines();
        const shown = await host.show();

        let count = 0;
        const linksDoneAt = calls.sends.findLastIndex(([type]) => LINK_TYPES.includes(type!));
        for (const { injection, send, types } of casesOf(calls)) {
          if (start === UNMADE && send > linksDoneAt) continue;
          const context = `${errnoName(injection.errno)} at ${injection.seam} ${injection.n} (${types})`;
          STARTS[start](site);
          assertEquals(lines(), atStart, `${context}: the start`);
          const report = host.reconcile(wanted, failing(host.transport, injection));
          const after = lines();
          const wrong = [
            ...after.filter((line) => !expected.includes(line)),
            ...expected.filter((line) => !after.includes(line)),
          ];
          // What is not there need not be deleted.
          const isGone = injection.errno === ENODEV && DELETION_TYPES.includes(types[0]!);
          assert(
            report.failureCount > 0 || wrong.length === 0 || isGone,
            `${context}: nothing said, and wrong: ${wrong}`,
          );
          const lost = expected.filter((line) => atStart.includes(line) && !after.includes(line));
          assertEquals(lost, [], `${context}: taken away although it was right`);
          checkRest(injection, types, wrong, { owners, vtep, context });
          assertEquals(host.reconcile(wanted).failures, [], `${context}: the next pass`);
          assertEquals(lines(), expected, `${context}: after the next pass`);
          count++;
        }
        assertEquals(await host.show(), shown);
        assert(count > 100, `only ${count} calls failed`);
      });
    }
  }
}

interface Site {
  readonly host: TestHost;
  readonly client: NetlinkClient;
  readonly vtep: VxlanLink | undefined;
  readonly before: readonly Lease[];
  readonly foreign: Parameters<typeof addAddress>[2];
}

/** Takes everything away. */
function clear({ host, client, vtep }: Site): void {
  host.reconcile([]);
  const link = vtep && queryLink(client, vtep.name);
  if (link === undefined) return;
  client.request(
    "delete the VTEP",
    (writer, sequence) => encodeLinkDeletion(writer, sequence, link.linkIndex),
  );
}

function spoil({ host, client, vtep, before, foreign }: Site): void {
  host.reconcile(before);
  if (vtep === undefined) return;
  const { linkIndex } = queryLink(client, vtep.name)!;
  addAddress(client, linkIndex, foreign);
  changeLink(client, linkIndex, { mtuBytes: 1300 });
  client.request("let the VTEP learn", (writer, sequence) => {
    encodeVxlanRepair(writer, sequence, linkIndex, { ...vtep, learning: true });
  });
}

/** Checks that nothing is wrong but what hangs on the failed call. */
function checkRest(
  { seam }: Injection,
  [type]: readonly number[],
  wrong: readonly string[],
  { owners, vtep, context }: {
    readonly owners: ReadonlyMap<string, string>;
    readonly vtep: VxlanLink | undefined;
    readonly context: string;
  },
): void {
  const message = `${context}: more is wrong than hangs on it:\n${wrong.join("\n")}`;
  if (LINK_TYPES.includes(type!)) {
    const onVtep = vtep === undefined ? [] : wrong.filter((line) => line.split(" ").includes(vtep.name));
    assertEquals(wrong, onVtep, message);
  } else if (ROW_TYPES.includes(type!)) {
    if (seam === "request") assert(new Set(wrong.map((line) => owners.get(line))).size <= 1, message);
    const tables = new Set(wrong.map((line) => line.split(" ")[0]!));
    assert(tables.size <= 1, message);
    // Where only the answer failed, the kernel has done it.
    if (seam === "receive" || seam === "answers") assertEquals(wrong, [], message);
  }
}
