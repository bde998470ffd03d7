import { metricOf } from "../../src/overlay/backend/push_route.ts";
import { formatAddress, formatPrefix, type Ipv4 } from "../../src/model/address.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";
import { median } from "./machine.ts";

/** How the routes of a host can be made, for the kernel to keep. */
const FORMS = ["metric spread", "next-hop objects", "one metric"] as const;
type Form = typeof FORMS[number];

/** The kernel's time grows with the square of the routes there: more of them take minutes, with its lock held. */
const MOST: Readonly<Record<Form, number>> = {
  "metric spread": Infinity,
  "next-hop objects": 20_000,
  "one metric": 5000,
};
const ROUNDS = 3;
const LINK = "vtep";
const SEGMENT = 0x0a00_0000;

/** Figures of one form, all of ip-batch(8) with its start, medians of three. */
export interface RouteFigures extends Record<string, string | number> {
  readonly routes: string;
  readonly form: Form;
  readonly "all added ms": number;
  readonly "one added ms": number;
  readonly "link down ms": number;
  readonly "link deleted ms": number;
}

/** Times `count` routes over one VXLAN link in each form that the kernel can stand so many of. */
export async function timeRoutes(count: number): Promise<RouteFigures[]> {
  const figures: RouteFigures[] = [];
  for (const form of FORMS.filter((form) => count <= MOST[form])) {
    const rounds: number[][] = [];
    for (let round = 0; round < ROUNDS; round++) rounds.push(await timeOnce(count, form));
    const [added, joined, down, deleted] = [0, 1, 2, 3].map((at) =>
      median(rounds.map((times) => times[at]!))
    );
    figures.push({
      routes: count.toLocaleString("en"),
      form,
      "all added ms": added!,
      "one added ms": joined!,
      "link down ms": down!,
      "link deleted ms": deleted!,
    });
  }
  return figures;
}

async function timeOnce(count: number, form: Form): Promise<number[]> {
  await using netns = await TestNetns.create();
  await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const make = async () => {
    await netns.ip("link", "add", LINK, "type", "vxlan", "id", "1", "dev", "eth0", "dstport", "8472");
    await netns.ip("link", "set", LINK, "up");
  };
  const all = Array.from({ length: count }, (_, at) => linesOf(form, at + 1)).flat();
  const file = await Deno.makeTempFile();
  const batch = async (lines: readonly string[]) => {
    await Deno.writeTextFile(file, lines.join("\n"));
    return await timed(() => netns.ip("-batch", file));
  };
  try {
    await make();
    const addedMs = await batch(all);
    const joinedMs = await batch(linesOf(form, count + 1));
    const downMs = await timed(() => netns.ip("link", "set", LINK, "down"));
    await netns.ip("link", "delete", LINK);
    await make();
    await batch(all);
    const deletedMs = await timed(() => netns.ip("link", "delete", LINK));
    return [addedMs, joinedMs, downMs, deletedMs];
  } finally {
    await Deno.remove(file);
  }
}

/** The lines of ip-batch(8) that make the route to host `number`. */
function linesOf(form: Form, number: number): string[] {
  const subnet = { address: SEGMENT + number * 64 as Ipv4, length: 26 };
  const [to, gateway] = [formatPrefix(subnet), formatAddress(subnet.address)];
  const way = `via ${gateway} dev ${LINK} onlink`;
  if (form === "next-hop objects") {
    const id = subnet.address;
    return [`nexthop add id ${id} ${way} proto 76`, `route add ${to} nhid ${id} proto 76`];
  }
  const metric = form === "metric spread" ? ` metric ${metricOf(subnet)}` : "";
  return [`route add ${to} ${way} proto 76${metric}`];
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await work();
  return performance.now() - startedMs;
}
