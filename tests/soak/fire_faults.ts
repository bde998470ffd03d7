import type { Certificate } from "../double/certificates.ts";
import { MISBEHAVIOURS } from "../double/fire_front.ts";
import { ODD_FILES, putInPlace } from "../double/odd_files.ts";
import { NetnsSocket } from "../double/overlay_sockets.ts";
import { pick } from "../double/random.ts";
import { HEALTH_ADDRESS, UPLINK } from "../../src/lab/host.ts";
import { AF_INET, formatAddress, parseAddress } from "../../src/model/address.ts";
import { fillFolder, freeFolder } from "../faults/disk.ts";
import type { PipedAgent } from "../double/piped_agent.ts";
import type { FireWorld } from "./fire_world.ts";

/** What burns, and the agent in it. */
export interface FireSite extends FireWorld {
  readonly agent: PipedAgent;
}

/** Takes a fault away again. */
export type Undo = () => Promise<void>;

/** Something that goes wrong until it is undone. */
export interface FireFault {
  readonly name: string;
  /** Whether the agent can't repair what the kernel holds before it is over. */
  readonly stopsRepair?: true;
  readonly make: (site: FireSite) => Promise<Undo>;
}

/** How many connections a flood of the status port holds: more than a service may have open by default. */
const FLOOD = 1500;
const GET = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n`;
/** What a client of a flood sends, and never more. */
const FLOOD_WORDS = ["", "G", GET("/healthz"), `${GET("/metrics")}\r\n`, "\0\x01\xff\r\n\r\n"];

/** What may stand in the place of a certificate or a key. */
const TLS_JUNK: readonly (readonly [what: string, text: (foreign: Certificate) => string])[] = [
  ["is empty", () => ""],
  ["is no PEM", () => "junk\n".repeat(100)],
  [
    "is PEM of junk",
    () => `-----BEGIN CERTIFICATE-----\n${btoa("junk".repeat(50))}\n-----END CERTIFICATE-----\n`,
  ],
  [
    "is a key of junk",
    () => `-----BEGIN PRIVATE KEY-----\n${btoa("junk".repeat(50))}\n-----END PRIVATE KEY-----\n`,
  ],
  ["is a foreign certificate", ({ certPem }) => certPem],
  ["is a foreign key", ({ keyPem }) => keyPem],
  ["is half of one", ({ certPem }) => certPem.slice(0, certPem.length / 2)],
];

/** A socket can't be brought to another file system. */
const ODD = ODD_FILES.filter(({ what }) => what !== "a socket");

/** All that goes wrong with the front, the registry and the way there. */
function registryFaults({ registry }: FireWorld): FireFault[] {
  const front = MISBEHAVIOURS.map((misbehaviour): FireFault => ({
    name: `the registry ${misbehaviour.name}`,
    make: ({ front, random }) => {
      front.misbehave(misbehaviour, { cuts: random() < 0.7 });
      return done(() => front.beHonest());
    },
  }));
  const own = Object.entries(registry.faults).map(([name, make]): FireFault => ({
    name,
    make: async () => {
      await make();
      return nothing;
    },
  }));
  return [...front, ...own, {
    name: "all connections are cut",
    make: ({ relay }) => {
      relay.cut();
      return done(() => {});
    },
  }, {
    name: "connections are refused",
    make: async ({ relay }) => {
      await relay.stop();
      return () => relay.start();
    },
  }];
}

const CERTIFICATE_FAULTS: readonly FireFault[] = (["caFile", "certFile", "keyFile"] as const).flatMap((
  which,
) => [
  ...TLS_JUNK.map(([what, text]): FireFault => ({
    name: `${which} ${what}`,
    make: ({ tls, foreign, front }) =>
      replaceFile(tls[which], (path) => Deno.writeTextFile(path, text(foreign)), front),
  })),
  ...ODD.map(({ what, make }): FireFault => ({
    name: `${which} is ${what}`,
    make: ({ tls, front }) => replaceFile(tls[which], make, front),
  })),
]);

const FILE_FAULTS: readonly FireFault[] = [
  ...["subnet.env", "leases.json"].flatMap((name) =>
    ODD.map(({ what, make }): FireFault => ({
      name: `${name} is ${what}`,
      make: async ({ lab }) => {
        const path = `${lab.hosts[0]!.directory}/${name}`;
        await putInPlace(path, make);
        return async () => {
          // The agent may have put its own there meanwhile.
          await Deno.remove(path, { recursive: true }).catch(() => {});
        };
      },
    }))
  ),
  {
    name: "the disk is full",
    make: async ({ lab }) => {
      const { directory } = lab.hosts[0]!;
      await fillFolder(directory);
      return () => freeFolder(directory);
    },
  },
];

const PROCESS_FAULTS: readonly FireFault[] = [
  {
    name: "nobody reads the log",
    make: ({ agent }) => {
      agent.stopReading();
      return done(() => agent.readAgain());
    },
  },
  ...(["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM"] as const).map((signal): FireFault => ({
    name: `${signal} comes`,
    make: ({ agent }) => {
      Deno.kill(agent.pid, signal);
      return done(() => {});
    },
  })),
  {
    name: "the agent is halted for a moment",
    stopsRepair: true,
    make: ({ agent }) => {
      Deno.kill(agent.pid, "SIGSTOP");
      return done(() => Deno.kill(agent.pid, "SIGCONT"));
    },
  },
  { name: "the status port is flooded", make: flood },
];

const KERNEL_FAULTS: readonly FireFault[] = [
  ...[
    ["route", "flush", "dev", "flannel.1", "proto", "static"],
    ["neighbour", "flush", "dev", "flannel.1", "nud", "permanent"],
    ["address", "flush", "dev", "flannel.1"],
    ["link", "set", "flannel.1", "down"],
    ["link", "delete", "flannel.1"],
  ].map((words): FireFault => ({
    name: `ip ${words.join(" ")}`,
    make: (site) => onHost(site, "ip", ...words),
  })),
  { name: "all rules are flushed", make: (site) => onHost(site, "nft", "flush", "ruleset") },
  {
    name: "the underlay is down",
    stopsRepair: true,
    make: async (site) => {
      const [host] = site.lab.hosts;
      await onHost(site, "ip", "link", "set", UPLINK, "down");
      return async () => {
        await onHost(site, "ip", "link", "set", UPLINK, "up");
        const { gateway } = host!.placements[0]!;
        await onHost(site, "ip", "route", "replace", "default", "via", formatAddress(gateway), "dev", UPLINK);
      };
    },
  },
];

/** All faults in groups: of one group only one is made at a time, as the second would undo the first. */
export function faultGroups(world: FireWorld): readonly (readonly FireFault[])[] {
  return [registryFaults(world), CERTIFICATE_FAULTS, FILE_FAULTS, PROCESS_FAULTS, KERNEL_FAULTS];
}

/** One to three faults, each of another group; the registry's are the most frequent. */
export function planFaults(groups: readonly (readonly FireFault[])[], random: () => number): FireFault[] {
  const [registry, ...others] = groups;
  const chosen = random() < 0.8 ? [pick(random, registry!)] : [];
  const rest = [...others];
  for (let count = 1 + Math.floor(random() * 2); count > 0; count--) {
    const [group] = rest.splice(Math.floor(random() * rest.length), 1);
    chosen.push(pick(random, group!));
  }
  return chosen;
}

const nothing: Undo = () => Promise.resolve();

function done(undo: () => void): Promise<Undo> {
  return Promise.resolve(() => Promise.resolve(undo()));
}

/** Runs a command on the host; that it finds nothing to do it on is as good, as the agent may be faster. */
async function onHost({ lab }: FireWorld, command: string, ...args: string[]): Promise<Undo> {
  await lab.hosts[0]!.exec(command, ...args);
  return nothing;
}

/** Puts something in the place of a file, has the agent connect anew, and puts it back. */
async function replaceFile(
  path: string,
  make: (path: string) => Promise<unknown> | void,
  front: FireWorld["front"],
): Promise<Undo> {
  const before = await Deno.readFile(path);
  await putInPlace(path, make);
  front.cut();
  return async () => {
    await putInPlace(path, (path) => Deno.writeFile(path, before));
    for await (const { name } of Deno.readDir(path.slice(0, path.lastIndexOf("/")))) {
      if (name.startsWith("fifo-")) {
        await Deno.remove(`${path.slice(0, path.lastIndexOf("/"))}/${name}`, { recursive: true });
      }
    }
  };
}

/** Holds connections to the status port that say little, or do not read. */
function flood({ lab, libc, random }: FireSite): Promise<Undo> {
  const stack = new DisposableStack();
  const [address, port] = HEALTH_ADDRESS.split(":") as [string, string];
  const words = pick(random, FLOOD_WORDS);
  for (let count = 0; count < FLOOD; count++) {
    const socket = stack.use(NetnsSocket.impatientTcp(libc, lab.hosts[0]!.netns, AF_INET));
    try {
      socket.connect(parseAddress(address), Number(port));
      if (words !== "") socket.send(new TextEncoder().encode(words));
    } catch {
      // It is refused, cut or kept waiting: the agent may.
    }
  }
  return done(() => stack.dispose());
}
