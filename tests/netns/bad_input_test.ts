import { readAgentState } from "../../src/pods/agent_state.ts";
import { assertEquals } from "@std/assert";
import { BACKEND_TYPES } from "../../src/config/backend_types.ts";
import { DatabaseSync } from "node:sqlite";
import { agentCommand } from "../double/overlay_rig.ts";
import { createUnderlayLink, TestNetns } from "../double/netns.ts";

/** A place where an agent could start, before a case spoils it. */
interface Place {
  readonly netns: TestNetns;
  readonly folder: string;
}

interface BadInput {
  readonly why: string;
  readonly spoil?: (place: Place) => Promise<unknown> | void;
  /** Behind the flags that are in order; `FOLDER` stands for the place's folder. */
  readonly flags?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In front of the agent's command, as another user. */
  readonly wrapper?: readonly string[];
  readonly code: 1 | 2;
  /** The one line, without `loden: `; `FOLDER` stands for the place's folder. */
  readonly line: string;
}

const config = (text: string) => ({ folder }: Place) => Deno.writeTextFile(`${folder}/net-conf.json`, text);

const cases: readonly BadInput[] = [
  {
    why: "a flag is misspelled",
    flags: ["-ifaec=eth0"],
    code: 2,
    line: "Cannot read flag -ifaec: there is no such flag; did you mean -iface?",
  },
  {
    why: "a number is none",
    flags: ["-healthz-port=abc"],
    code: 2,
    line: 'Cannot read -healthz-port: must be an integer, is "abc"',
  },
  {
    why: "a variable of Loden's own is wrong",
    env: { FLANNELD_VXLAN_VNI: "many" },
    code: 2,
    line: 'Cannot read FLANNELD_VXLAN_VNI: must be an integer, is "many"',
  },
  {
    why: "an address is none",
    flags: ["-public-ip=192.0.2"],
    code: 2,
    line: 'Cannot read -public-ip: must be an IPv4 address, is "192.0.2"',
  },
  {
    why: "a regular expression is malformed",
    flags: ["-iface=", "-iface-regex=eth("],
    code: 2,
    line: 'Cannot use -iface-regex "eth(": it is not a regular expression: Unterminated group',
  },
  {
    why: "net-conf.json is missing",
    spoil: ({ folder }) => Deno.remove(`${folder}/net-conf.json`),
    code: 1,
    line:
      "Cannot read the network configuration FOLDER/net-conf.json: there is no such file or folder; write it, or name another " +
      "file with -net-config-path",
  },
  {
    why: "net-conf.json is a folder",
    spoil: async ({ folder }) => {
      await Deno.remove(`${folder}/net-conf.json`);
      await Deno.mkdir(`${folder}/net-conf.json`);
    },
    code: 1,
    line:
      "Cannot read the network configuration FOLDER/net-conf.json: it is a folder, not a regular file; put one in its place, or " +
      "name another file with -net-config-path",
  },
  {
    why: "net-conf.json is not JSON",
    spoil: config('{"Network": "10.244.0.0/16",\n}'),
    code: 1,
    line: 'FOLDER/net-conf.json: line 2 column 1: expected a key in double quotes, but there is "}"',
  },
  {
    why: "net-conf.json has a value out of range",
    spoil: config('{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 99999999}}'),
    code: 1,
    line: "FOLDER/net-conf.json: Backend.VNI: must be 1 to 16777215, is 99999999",
  },
  {
    why: "the backend is not in this version",
    spoil: config('{"Network": "10.244.0.0/16", "Backend": {"Type": "wireguard"}}'),
    code: 1,
    line: `FOLDER/net-conf.json: Backend.Type: backend "wireguard" is not in this version; use ${
      BACKEND_TYPES.join(", ")
    }`,
  },
  {
    why: "the log file has no place to be",
    flags: ["-log-file=FOLDER/net-conf.json/agent.log"],
    code: 1,
    line:
      "Cannot write the log file FOLDER/net-conf.json/agent.log: a part of its path is not a folder; make it " +
      "writable, or name another with -log-file",
  },
  {
    why: "the process may not program the network",
    wrapper: ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"],
    code: 1,
    line:
      "Cannot program the network: the kernel answers EPERM; run as root, or give the process CAP_NET_ADMIN",
  },
  {
    why: "the registry is not a database",
    spoil: ({ folder }) => Deno.writeTextFile(`${folder}/registry.db`, "this was never SQLite ".repeat(100)),
    code: 1,
    line:
      "Cannot open the lease registry FOLDER/registry.db: it is not a SQLite database; name another file with " +
      "-local-registry, or move this one away (file is not a database)",
  },
  {
    why: "the registry is another program's",
    spoil: ({ folder }) => {
      const db = new DatabaseSync(`${folder}/registry.db`);
      db.exec("CREATE TABLE bookmarks (url TEXT)");
      db.close();
    },
    code: 1,
    line:
      "Cannot open the lease registry FOLDER/registry.db: it is the database of another program; name another " +
      "file with -local-registry",
  },
  {
    why: "the network is all there is",
    spoil: ({ folder }) => Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "0.0.0.0/0"}'),
    code: 1,
    line:
      "FOLDER/net-conf.json: Network: must be the pods' own network, is 0.0.0.0/0: all there is, and no packet would " +
      "ever be masqueraded",
  },
];

async function makePlace(stack: AsyncDisposableStack): Promise<Place> {
  const netns = stack.use(await TestNetns.create());
  await createUnderlayLink(netns, { name: "eth0", address4: "192.0.2.1/24" });
  const folder = await Deno.makeTempDir({ prefix: "loden-bad-" });
  stack.defer(() => Deno.remove(folder, { recursive: true }));
  await Deno.writeTextFile(`${folder}/net-conf.json`, '{"Network": "10.244.0.0/16"}');
  return { netns, folder };
}

/** All that an agent leaves on a host, as text. */
async function remains({ netns, folder }: Place): Promise<string[]> {
  const files = (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  const [links, routes, nextHops] = [
    await netns.ip("-br", "link", "show", "type", "vxlan"),
    await netns.ip("route", "show", "proto", "76"),
    await netns.ip("nexthop", "show"),
  ];
  const leases = files.includes("registry.db") ? leaseCount(`${folder}/registry.db`) : 0;
  return [
    ...files.filter((name) => !["net-conf.json", "subnet.env", "registry.db"].includes(name)),
    ...[links, routes, nextHops].filter((text) => text.trim() !== ""),
    ...(leases > 0 ? [`${leases} leases`] : []),
  ];
}

function leaseCount(path: string): number {
  try {
    using stack = new DisposableStack();
    const db = stack.adopt(new DatabaseSync(path, { readOnly: true }), (db) => db.close());
    return Number(db.prepare("SELECT count(*) AS leases FROM lease").get()!.leases);
  } catch {
    return 0;
  }
}

for (const { why, spoil, flags = [], env = {}, wrapper = [], code, line } of cases) {
  Deno.test(`an agent ends with code ${code}, one line and nothing half-made when ${why}`, async () => {
    await using stack = new AsyncDisposableStack();
    const place = await makePlace(stack);
    const { netns, folder } = place;
    await spoil?.(place);
    const placed = flags.map((flag) => flag.replaceAll("FOLDER", folder));
    const iface = flags.some((flag) => flag.startsWith("-iface")) ? [] : ["-iface=eth0"];
    const { code: ended, stderr } = await new Deno.Command("ip", {
      args: [
        ...["netns", "exec", netns.name, ...wrapper, ...agentCommand],
        `-net-config-path=${folder}/net-conf.json`,
        ...(flags.some((flag) => flag.startsWith("-subnet-file"))
          ? []
          : [`-subnet-file=${folder}/subnet.env`]),
        `-local-registry=${folder}/registry.db`,
        "-unmanaged-files=false",
        "-log-format=json",
        ...iface,
        ...placed,
      ],
      env: { ...env, NO_COLOR: "1" },
      stdin: "null",
      signal: AbortSignal.timeout(20_000),
    }).output();
    const lines = new TextDecoder().decode(stderr).trim().split("\n").filter((text) => !text.startsWith("{"));
    assertEquals(lines.length, 1, lines.join("\n"));
    const said = lines[0]!.replaceAll(folder, "FOLDER");
    assertEquals(said, `loden: ${line}`);
    assertEquals(ended, code, said);
    // Only the reason is left, for the CNI plugin to repeat.
    const state = readAgentState(`${folder}/agent.json`);
    assertEquals(state?.reasons.map(({ sentence }) => sentence.replaceAll(folder, "FOLDER")) ?? [line], [
      line,
    ]);
    assertEquals((await remains(place)).filter((name) => !["agent.json", "agent.lock"].includes(name)), []);
  });
}
