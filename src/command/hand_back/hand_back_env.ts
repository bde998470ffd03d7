import type { Options } from "../../config/options.ts";
import { prefixesOverlap } from "../../core/prefix.ts";
import { readText } from "../../file/read_text.ts";
import { readIfThere, statIfThere } from "../../file/read_file.ts";
import { writeIfOther } from "../../file/write_if_other.ts";
import { readHistory } from "../../host/history.ts";
import { errorText } from "../../log/error_text.ts";
import { familyOf, formatPrefix, type Prefix, prefixEquals } from "../../model/address.ts";
import { checkSubnetEnv, readSubnetEnv, type SubnetEnv } from "../../pods/subnet_env.ts";
import { MAX_SUBNET_FILE_BYTES } from "../../pods/subnet_file.ts";
import { MAX_CACHE_BYTES, parseLeaseCache } from "../../registry/lease_cache.ts";
import type { CleanupStep } from "../cleanup/cleanup_step.ts";

/** What this host has, as the last agent has told the plugin. */
export interface OwnEnv {
  readonly env: SubnetEnv;
  /** Networks that it had before, and has no more. */
  readonly former: readonly Prefix[];
  /** The subnet file. */
  readonly text: string;
}

/** As flanneld makes it. */
const SUBNET_FILE_MODE = 0o644;
/** The line of the subnet file that flannel's does not have. */
const OWN_LINES = /^FLANNEL_BACKEND=.*\n?/gm;

/**
 * Reads what this host has. What is not said in full is not taken for less: what is not in it would be deleted.
 *
 * @returns Why it is not known, as a clause, if it is not.
 */
export function readOwnEnv({ subnetFilePath, leaseCachePath }: OwnEnvPlaces): OwnEnv | string {
  try {
    const stat = statIfThere(subnetFilePath);
    if (stat === undefined) return `there is no ${subnetFilePath}, which says what it has`;
    if (!stat.isFile) return `${subnetFilePath} is no file, and is to say what it has`;
    const text = readIfThere(subnetFilePath, MAX_SUBNET_FILE_BYTES) ?? "";
    const env = readSubnetEnv(text, subnetFilePath);
    checkSubnetEnv(env, subnetFilePath, { mtuBytes: undefined, isMasquerading: undefined });
    const before = readHistory(subnetFilePath).applied?.networks;
    const fault = faultOf(env, { before, leased: leasedSubnets(leaseCachePath) });
    if (fault !== undefined) return `${subnetFilePath} is not what the agent has written: ${fault}`;
    const isNow = (network: Prefix) => env.networks.some((one) => prefixEquals(one, network));
    return { env, text, former: (before ?? []).filter((network) => !isNow(network)) };
  } catch (error) {
    return errorText(error);
  }
}

/** Where it is read. */
type OwnEnvPlaces = Pick<Options, "subnetFilePath" | "leaseCachePath">;

/** In what a whole subnet file contradicts itself, or what the agent keeps beside it; `undefined` if in nothing. */
function faultOf(
  { networks, subnets }: SubnetEnv,
  { before, leased }: {
    readonly before: readonly Prefix[] | undefined;
    readonly leased: readonly Prefix[] | undefined;
  },
): string | undefined {
  for (const subnet of subnets) {
    if (!networks.some((network) => network.length <= subnet.length && prefixesOverlap(network, subnet))) {
      return `subnet ${formatPrefix(subnet)} is in none of its networks`;
    }
  }
  for (const network of networks) {
    if (!subnets.some(({ address }) => familyOf(address) === familyOf(network.address))) {
      return `network ${formatPrefix(network)} has no subnet`;
    }
    if (before !== undefined && !before.some((one) => prefixEquals(one, network))) {
      return `the last agent had no network ${formatPrefix(network)}`;
    }
  }
  const lost = leased?.find((subnet) => !subnets.some((one) => prefixEquals(one, subnet)));
  return lost && `the last agent had subnet ${formatPrefix(lost)} too`;
}

/** The subnets of the lease that the last agent remembered; `undefined` if it did not, or that can't be read. */
function leasedSubnets(path: string | undefined): readonly Prefix[] | undefined {
  if (path === undefined) return undefined;
  try {
    return parseLeaseCache(readText(path, MAX_CACHE_BYTES)).own.parts.map(({ subnet }) => subnet);
  } catch {
    return undefined;
  }
}

/** What turns the subnet file into one that flanneld might have written. */
export function subnetFileSteps(path: string, text: string): CleanupStep[] {
  const plain = text.replace(OWN_LINES, "");
  if (plain === text) return [];
  const run = () => void writeIfOther(path, plain, SUBNET_FILE_MODE);
  return [{ verb: "turn", object: `subnet file ${path} into flanneld's`, run }];
}
