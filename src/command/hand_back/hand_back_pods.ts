import { dirname, join } from "node:path";
import type { Options } from "../../config/options.ts";
import { fileReason } from "../../file/file_reason.ts";
import { makeFolder } from "../../file/make_folder.ts";
import { readUnlessOdd, removeIfThere, statIfThere } from "../../file/read_file.ts";
import { replaceFile } from "../../file/replace_file.ts";
import { writeIfOther } from "../../file/write_if_other.ts";
import { readReservations } from "../../leftovers/host_local.ts";
import { readResultNames, readStates } from "../../leftovers/leftover_facts.ts";
import { errorText } from "../../log/error_text.ts";
import { CniError } from "../../pods/cni_error.ts";
import { USUAL_IFNAME } from "../../pods/cni_name.ts";
import { ConflistError, conflistText, isRenderedConflist, MAX_CONFLIST_BYTES } from "../../pods/conflist.ts";
import { flannelConflist, flannelNetConf, flannelState, isRenderedFor } from "../../pods/flannel_conflist.ts";
import { installPlaces } from "../../pods/install_places.ts";
import type { NetConf } from "../../pods/net_conf.ts";
import { dataDirOf, readSettings, type Settings, subnetFileOf } from "../../pods/settings.ts";
import { StateFolder } from "../../pods/state.ts";
import type { SubnetEnv } from "../../pods/subnet_env.ts";
import type { CleanupPlan, CleanupStep } from "../cleanup/cleanup_step.ts";
import { pluginOutlook } from "./hand_back_plugin.ts";

/** What is known of this host's pods. */
export interface PodPlaces {
  readonly options: Pick<Options, "conflist" | "subnetFilePath" | "pluginFolder">;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly env: SubnetEnv;
  readonly networksDir: string;
  readonly resultsDir: string;
}

/** A runtime's network configuration that puts pods on this host's subnets, as flannel's plugin is called by it. */
interface Found {
  readonly path: string;
  /** What it must say. */
  readonly text: string;
  readonly isRendered: boolean;
  /** What it says. */
  readonly rendered: string;
  readonly conf: NetConf;
}

const CONFIGURATION = /\.(conf|conflist|json)$/;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;
/** The runtime may be any user. */
const PUBLIC_MODE = 0o644;

/** What is planned, and how pods are found that came since. */
export interface PodsPlan extends CleanupPlan {
  /** What is to be done about pods that a runtime has attached meanwhile, as it was called to before a conflist was turned. */
  readonly late: () => CleanupStep[];
  /** Whether a conflist is turned: the runtime may be calling by the old one. */
  readonly turns: boolean;
}

/**
 * Plans how flannel's plugin finds what Loden has attached: the state of each pod first, then the conflist that has the
 * runtime call it. Reservations of `host-local` stay where they are: the network's name is the same. Pods come while this
 * is carried out, so they are looked for again before a conflist is turned, and can be once more after it.
 *
 * @throws What the file system says.
 */
export function planPods(places: PodPlaces): PodsPlan {
  const settings = readSettings(places.environment);
  const steps: CleanupStep[] = [];
  const kept: string[] = [];
  const configurations = readConfigurations(places, settings, kept);
  const statesOf = (found: Found) => planStates(found, places, settings);
  for (const found of configurations) {
    const state = statesOf(found);
    steps.push(...state.steps);
    kept.push(...state.kept);
    const { path, text, isRendered } = found;
    if (!isRendered) continue;
    const { obstacle, doubt } = pluginOutlook(places, found.rendered);
    if (doubt !== undefined) kept.push(doubt);
    const turn = onDisk(() => void writeIfOther(path, text, PUBLIC_MODE));
    steps.push({
      verb: "turn",
      object: `conflist ${path} into one that calls the plugin flannel`,
      obstacle,
      run: async () => {
        if (obstacle !== undefined) throw new Error(obstacle);
        try {
          for (const step of statesOf(found).steps) await step.run();
        } catch (error) {
          // By it the plugin would be called for pods that it has no state of.
          throw new Error(`the state of pods must be there first: ${errorText(error)}`);
        }
        turn();
      },
    });
  }
  return {
    steps,
    kept,
    late: () => configurations.flatMap((found) => statesOf(found).steps),
    turns: configurations.some(({ isRendered }) => isRendered),
  };
}

/** The configurations for this host's subnets; others' stay as they are. */
function readConfigurations(
  { options, environment, env }: PodPlaces,
  settings: Settings,
  kept: string[],
): Found[] {
  const folder = options.conflist === undefined
    ? installPlaces(environment).conflistFolder
    : dirname(options.conflist.path);
  return namesIn(folder).filter((name) => CONFIGURATION.test(name)).flatMap((name): Found[] => {
    const path = join(folder, name);
    const text = readUnlessOdd(path, MAX_CONFLIST_BYTES);
    if (text === undefined) return [];
    const isRendered = isRenderedConflist(text);
    // The agent's own may be for a subnet that this host had before.
    if (isRendered && path !== options.conflist?.path && !isRenderedFor(text, env)) {
      kept.push(
        `conflist ${path}: Loden has made it for other subnets than this host's; it is another agent's, or to be named with -cni-conf`,
      );
      return [];
    }
    const restored = isRendered ? sourceOf(options, path) ?? remade(text, options, settings, env) : text;
    const conf = confOf(restored);
    if (conf === undefined) return [];
    // A rendered one is known by its subnets, whatever is said of the file in which they were.
    if (!isRendered && subnetFileOf(conf, settings) !== options.subnetFilePath) return [];
    return [{ path, text: restored, isRendered, rendered: text, conf }];
  });
}

/** What a rendered conflist must have been made of, with the subnet file where the plugin would look for another. */
function remade(
  rendered: string,
  { subnetFilePath }: PodPlaces["options"],
  settings: Settings,
  env: SubnetEnv,
): string {
  const isUsual = subnetFileOf({ subnetFile: undefined }, settings) === subnetFilePath;
  return flannelConflist(rendered, settings, env, isUsual ? undefined : subnetFilePath);
}

/** What the agent has made a conflist of; `undefined` if that can't be read, or does not call the plugin. */
function sourceOf({ conflist }: PodPlaces["options"], path: string): string | undefined {
  if (conflist?.path !== path) return undefined;
  try {
    const text = readUnlessOdd(conflist.sourcePath, MAX_CONFLIST_BYTES);
    return text !== undefined && confOf(text) !== undefined ? conflistText(text) : undefined;
  } catch {
    return undefined;
  }
}

function confOf(text: string): NetConf | undefined {
  try {
    return flannelNetConf(text);
  } catch (error) {
    // It is none, or what the plugin says is wrong in it when it is called.
    if (error instanceof ConflistError || error instanceof CniError) return undefined;
    throw error;
  }
}

/** One attachment, and the delegate's configuration that it was made with. */
interface Attached {
  readonly containerId: string;
  readonly ifname: string;
  readonly text: string;
}

/** The state that each pod must have, one file a container, and the files of ours that go. */
function planStates(found: Found, places: PodPlaces, settings: Settings): CleanupPlan {
  const folder = dataDirOf(found.conf, settings);
  const states = readStates(new StateFolder(folder)).filter(({ network }) => network === found.conf.name);
  const own = states.flatMap(({ containerId, ifname, text }): Attached[] =>
    ifname === undefined ? [] : [{ containerId, ifname, text }]
  );
  const known = new Set(states.map(({ containerId }) => containerId));
  const unknown = attachments(found, places, settings).filter(({ containerId }) => !known.has(containerId));
  const wanted = Map.groupBy([...own, ...unknown], ({ containerId }) => containerId);
  if (wanted.size === 0) return { steps: [], kept: [] };
  const run = onDisk(() => {
    makeFolder(folder, FOLDER_MODE);
    for (const [containerId, links] of wanted) writeState(join(folder, containerId), links);
    for (const { containerId, ifname } of own) removeIfThere(join(folder, `${containerId}@${ifname}`));
  });
  const pods = wanted.size === 1 ? "a pod" : `${wanted.size} pods`;
  const several = [...wanted].filter(([, links]) => new Set(links.map(({ ifname }) => ifname)).size > 1);
  return {
    steps: [{ verb: "write", object: `state of ${pods} in ${folder}, as flannel's plugin keeps it`, run }],
    kept: several.map(([containerId]) =>
      `addresses of container ${containerId} but for one link: flannel's plugin keeps one state a container, and ` +
      "releases no more"
    ),
  };
}

/**
 * What is attached without state, as nobody was called to keep any: who holds addresses, and of whom results are kept. Once
 * flannel's plugin is called, who holds an address without state may be what it has leaked, so that then it is asked what
 * the runtime keeps: by which configuration it has attached the container.
 */
function attachments(
  { conf, isRendered }: Found,
  { env, networksDir, resultsDir }: PodPlaces,
  settings: Settings,
): Attached[] {
  const { dataDir } = conf.ipam;
  const { reservations } = readReservations(typeof dataDir === "string" ? dataDir : networksDir, conf.name);
  const holders = new Set(reservations.map(({ containerId }) => containerId));
  const results = isRendered || holders.size > 0 ? readResultNames(resultsDir, conf.name) : [];
  const found = isRendered
    ? [...reservations, ...results]
    : results.filter(({ containerId, config }) => holders.has(containerId) && isRenderedConflist(config));
  if (found.length === 0) return [];
  const text = flannelState(conf, settings, env);
  return found.map(({ containerId, ifname = USUAL_IFNAME }) => ({ containerId, ifname, text }));
}

/** Writes the file that flannel's plugin reads, in place of a link if need be. */
function writeState(path: string, links: readonly Attached[]): void {
  // A file that is no link was written by flannel's, or by this before it was ended.
  if (statIfThere(path)?.isFile === true) return;
  const [first] = links.toSorted((a, b) => rank(a) - rank(b) || (a.ifname < b.ifname ? -1 : 1));
  replaceFile(path, [first!.text], FILE_MODE, { isCrowded: true });
}

/** The usual link of a pod first. */
function rank({ ifname }: Attached): number {
  return ifname === USUAL_IFNAME ? 0 : 1;
}

function namesIn(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}

function onDisk(run: () => void): () => void {
  return () => {
    try {
      run();
    } catch (error) {
      throw new Error(fileReason(error));
    }
  };
}
