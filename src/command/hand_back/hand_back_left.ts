import { dirname, join } from "node:path";
import type { Options } from "../../config/options.ts";
import { prefixesOverlap } from "../../core/prefix.ts";
import { readUnlessOdd } from "../../file/read_file.ts";
import { EARLIER_TABLE, IP_NAME, isOwnTable, networkOfTable } from "../../firewall/rules.ts";
import type { Libc } from "../../linux/libc.ts";
import { FAMILIES, formatPrefix, parsePrefix, type Prefix } from "../../model/address.ts";
import type { NetlinkClient } from "../../netlink/client.ts";
import { dumpTables } from "../../nftables/dump.ts";
import { networksOfOthers } from "../../agent/other_agents.ts";
import { isRenderedConflist, MAX_CONFLIST_BYTES } from "../../pods/conflist.ts";
import { renderedSubnets } from "../../pods/flannel_conflist.ts";
import { installPlaces } from "../../pods/install_places.ts";
import { ownDestinations } from "./hand_back_routes.ts";

/** Something of Loden's that stands although nothing tells what it belongs to. */
export interface Left {
  readonly verb: "turn";
  readonly object: string;
  readonly reason: string;
}

/** Where it is looked for. */
export interface LeftPlaces {
  readonly options: Pick<Options, "conflist" | "subnetFilePath">;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly libc: Libc;
  readonly client: NetlinkClient;
  readonly nft: NetlinkClient;
  /** The subnets that are this host's; absent where that is not known. */
  readonly subnets: readonly Prefix[] | undefined;
}

/** How many routes are named. */
const NAMED = 3;

/**
 * Finds what Loden has left on a host where nothing tells of an agent, as its files are gone with a boot, or are elsewhere:
 * tables and routes by their names and protocol, conflists by their mark. What an agent has that runs is not left.
 *
 * @throws What the kernel or the file system says.
 */
export function findLeft({ options, environment, libc, client, nft, subnets }: LeftPlaces): Left[] {
  const { subnetFilePath, conflist } = options;
  const running = networksOfOthers(libc).flatMap((network) => prefixOf(network) ?? []);
  const isRunning = (prefix: Prefix) => running.some((network) => prefixesOverlap(network, prefix));
  const remedy =
    `${subnetFilePath} does not tell of it: name the subnet file that the agent had with -subnet-file, or ` +
    "start the agent once more, or remove all with 'loden cleanup --node'";
  const found = dumpTables(nft);
  const tables = FAMILIES.flatMap((family) =>
    found.filter((one) => one.family === family).flatMap(({ table }) => {
      const network = isOwnTable(family, table) ? networkOfTable(table) : undefined;
      const isOurs = network === undefined ? table === EARLIER_TABLE : !isRunning(network);
      return isOurs ? `table ${IP_NAME[family]} ${table}` : [];
    })
  );
  const destinations = ownDestinations(client).filter((one) => !isRunning(one)).map(formatPrefix);
  const routes = destinations.length > NAMED
    ? [`${destinations.length} routes`]
    : destinations.map((one) => `route ${one}`);
  const folder = conflist === undefined ? installPlaces(environment).conflistFolder : dirname(conflist.path);
  const conflists = filesIn(folder).flatMap((path): Left[] => {
    const text = readUnlessOdd(path, MAX_CONFLIST_BYTES);
    if (text === undefined || !isRenderedConflist(text)) return [];
    const own = renderedSubnets(text);
    // What is for this host's subnets is turned without being asked for.
    const isKnown = own.some((subnet) => subnets?.some((one) => prefixesOverlap(one, subnet)));
    if (isKnown || own.some(isRunning)) return [];
    const reason = subnets === undefined
      ? `Loden has made it, and ${subnetFilePath} does not say for which network; start flanneld or the agent, and ` +
        `then run this again with -cni-conf=${path}`
      : `Loden has made it for other subnets than this host's; if these are of before, run this again with ` +
        `-cni-conf=${path}`;
    return [{ verb: "turn", object: `conflist ${path}`, reason }];
  });
  return [
    ...conflists,
    ...[...tables, ...routes].map((object): Left => ({ verb: "turn", object, reason: remedy })),
  ];
}

function prefixOf(text: string): Prefix | undefined {
  try {
    return parsePrefix(text);
  } catch {
    return undefined;
  }
}

function filesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name)).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
