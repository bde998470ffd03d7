import { join } from "node:path";
import {
  expectedPluginTypes,
  filesBefore,
  isOurConflist,
  isRenderedConflist,
  pluginTypes,
} from "../../pods/conflist.ts";
import { missingPlugins, USUAL_PLUGIN_FOLDERS } from "../../pods/plugin_folders.ts";
import type { ObservedLink } from "../../model/state.ts";
import { isVtepName } from "../../model/vtep.ts";
import { type Check, check } from "./check.ts";
import { doubtful, ok, type Said, unseen, wrong } from "./finding.ts";
import type { FoundConflists } from "./conflists.ts";
import type { DoctorPlace } from "./place.ts";

/** How pods are attached: by which configuration, with which plugins, and who else does it. */
export const POD_CHECKS: readonly Check[] = [
  check("conflist", (place) => place.conflists, judgeConflists),
  check("cni-plugins", readPlugins, judgePlugins),
  check("other-overlays", readOverlays, judgeOverlays),
];

/** Tools that attach pods to a network of their own, by the plugin types that they bring. */
const OTHER_TOOLS: readonly (readonly [tool: string, types: RegExp])[] = [
  ["Calico", /^calico/],
  ["Cilium", /^cilium-cni$/],
  ["Weave Net", /^weave-(net|ipam)$/],
  ["Antrea", /^antrea$/],
  ["OVN-Kubernetes", /^ovn-k8s-cni-overlay$/],
  ["the VPC CNI of Amazon", /^aws-cni$/],
  ["Azure CNI", /^azure-vnet$/],
  ["Multus", /^multus/],
];

interface NamedConflist {
  /** What it is called in messages: a tool's name, or a network's. */
  readonly tool: string | undefined;
  readonly isUsable: boolean;
}

function read(text: string): NamedConflist {
  try {
    const value = JSON.parse(text);
    const plugins: unknown[] = Array.isArray(value?.plugins) ? value.plugins : [value];
    const types = plugins.map((plugin) => (plugin as { type?: unknown } | null)?.type)
      .filter((type) => typeof type === "string");
    const tool = OTHER_TOOLS.find(([, pattern]) => types.some((type) => pattern.test(type)))?.[0];
    return { tool, isUsable: types.length > 0 };
  } catch {
    return { tool: undefined, isUsable: false };
  }
}

export function judgeConflists({ folder, files, ownName, isAsked }: FoundConflists): readonly Said[] {
  const said: Said[] = [];
  if (ownName === undefined) {
    const tools = files.flatMap(({ text }) => text === undefined ? [] : read(text).tool ?? []);
    const other = tools[0] === undefined ? "" : `, and that of ${tools[0]} is`;
    if (isAsked) {
      said.push(
        doubtful(
          `no conflist of ours is in ${folder}${other}`,
          "the agent writes it once it is ready; see 'loden status'",
        ),
      );
    } else if (tools.length > 0) {
      said.push(doubtful(
        `${folder} has no conflist that calls flannel, and that of ${tools[0]}: pods are attached by ${
          tools[0]
        }`,
        "name ours with -cni-conf, and remove the other, if pods are to be in this overlay",
      ));
    } else said.push(ok("no conflist is asked of the agent"));
    return said;
  }
  const before = filesBefore(ownName, files.map(({ name }) => name));
  for (const { name, text, fault } of files) {
    const path = join(folder, name);
    if (text === undefined) {
      if (fault !== undefined) said.push(doubtful(`${path} can't be read: ${fault}`, "mend or remove it"));
      continue;
    }
    if (name === ownName || isOurConflist(text)) continue;
    const { tool, isUsable } = read(text);
    if (before.includes(name)) {
      said.push(
        isUsable
          ? wrong(
            `the runtime attaches pods by ${path}${
              tool === undefined ? "" : ` of ${tool}`
            }, which sorts before ${ownName}`,
            `remove it, or give it a name that sorts behind ${ownName}`,
          )
          : doubtful(
            `${path} sorts before ${ownName} and is no network configuration: some runtimes stop at it`,
            "remove it",
          ),
      );
    } else if (tool !== undefined) {
      said.push(doubtful(
        `${path} of ${tool} stands behind ours: pods are attached by it whenever ours is away`,
        "remove it, if the tool has left this host",
      ));
    }
  }
  return said.length > 0 ? said : [ok(`${join(folder, ownName)} is the one that runtimes use`)];
}

/** Plugins that a conflist names, and where they are looked for. */
export interface FoundPlugins {
  readonly types: readonly string[];
  readonly folders: readonly string[];
  readonly missing: readonly string[];
}

async function readPlugins(place: DoctorPlace): Promise<FoundPlugins | undefined> {
  const { files, ownName } = await place.conflists;
  const text = files.find(({ name }) => name === ownName)?.text;
  if (text === undefined) return undefined;
  const { pluginFolder } = place.options;
  const { CNI_PATH } = place.environment;
  const named = pluginFolder !== undefined ? [pluginFolder] : CNI_PATH?.split(":").filter(Boolean);
  const folders = named ?? USUAL_PLUGIN_FOLDERS.map((folder) => join(place.files.root, folder));
  const called = isRenderedConflist(text) ? pluginTypes(text) : ["flannel", ...expectedPluginTypes(text)];
  // Each runtime starts this one for each pod.
  const types = [...new Set([...called, "loopback"])];
  // Of a file system that hangs another thread waits here.
  for (const folder of folders) await Deno.stat(folder).catch(() => {});
  return { types, folders, missing: missingPlugins(types, folders) };
}

export function judgePlugins(found: FoundPlugins | undefined): Said {
  if (found === undefined) return ok("no conflist of ours names any");
  const { types, folders, missing } = found;
  if (missing.length === 0) return ok(`${types.join(", ")} are there`);
  const isOwnOnly = missing.every((type) => type === "flannel");
  const remedy = isOwnOnly
    ? "run 'loden install-cni', or name the runtime's folder with -cni-bin-dir"
    : "install them (containernetworking-plugins), or name the runtime's folder with -cni-bin-dir";
  return wrong(`no pod can be started: ${folders.join(" and ")} lack ${missing.join(", ")}`, remedy);
}

/** Links, chains and processes that other overlays leave or have. */
export interface FoundOverlays {
  readonly links: readonly string[];
  /** `undefined` where they are not to be seen. */
  readonly chains: readonly string[] | undefined;
  readonly processes: readonly string[];
}

/** What other overlays have on a host, and how it goes. */
const OVERLAYS: readonly {
  readonly tool: string;
  readonly links: RegExp;
  readonly chains: RegExp;
  readonly programs: readonly string[];
  /**
   * Present where its policies are in use beside another overlay, as Calico's in Canal and kube-router's in k3s: the links
   * and programs by which it leads packets nevertheless.
   */
  readonly leadsBy?: { readonly links: RegExp; readonly programs: readonly string[] };
}[] = [
  {
    tool: "Calico",
    links: /^(cali[0-9a-f]{11}|vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali)$/,
    chains: /^cali-/,
    programs: ["calico-node", "felix"],
    // Pods of Canal have links of Calico's names.
    leadsBy: {
      links: /^(vxlan\.calico|vxlan-v6\.calico|wireguard\.cali|wg-v6\.cali)$/,
      programs: ["bird", "bird6"],
    },
  },
  {
    tool: "Cilium",
    links: /^(cilium_(host|net|vxlan|geneve|wg0)|lxc_health)$/,
    chains: /^(OLD_)?CILIUM_/,
    programs: ["cilium-agent"],
  },
  {
    tool: "Weave Net",
    links: /^(weave|datapath|vethwe-(bridge|datapath)|vxlan-6784)$/,
    chains: /^WEAVE/,
    programs: ["weaver"],
  },
  {
    tool: "kube-router",
    links: /^kube-bridge$/,
    chains: /^KUBE-ROUTER-/,
    programs: ["kube-router"],
    leadsBy: { links: /^kube-bridge$/, programs: [] },
  },
  { tool: "Antrea", links: /^antrea-(gw0|tun0)$/, chains: /^ANTREA-/, programs: ["antrea-agent"] },
  { tool: "OVN-Kubernetes", links: /^ovn-k8s-mp\d+$/, chains: /^OVN-KUBE-/, programs: ["ovnkube"] },
];

async function readOverlays(place: DoctorPlace): Promise<FoundOverlays> {
  const programs = new Set(OVERLAYS.flatMap(({ programs, leadsBy }) => [
    ...programs,
    ...leadsBy?.programs ?? [],
  ]));
  const bridge = await place.podsBridge;
  return {
    links: place.links.map(({ name }) => name).filter((name) => name !== bridge),
    chains: place.isRoot ? place.chains.map(({ chain }) => chain) : undefined,
    processes: place.system.processes(programs).filter(({ isHere }) => isHere ?? true).map(({ program }) =>
      program
    ),
  };
}

export function judgeOverlays({ links, chains, processes }: FoundOverlays): readonly Said[] {
  const said = OVERLAYS.flatMap(({ tool, ...signs }): Said[] => {
    const found = [
      ...links.filter((name) => signs.links.test(name)).map((name) => `link ${name}`),
      ...(chains ?? []).filter((name) => signs.chains.test(name)).map((name) => `chain ${name}`),
    ];
    const named = found.length > 3
      ? `${found.slice(0, 3).join(", ")} and ${found.length - 3} more`
      : found.join(", ");
    const running = processes.find((program) => signs.programs.includes(program));
    const { leadsBy } = signs;
    // Without a link of its own nothing is led, and what rules drop is seen by playing them.
    const leads = leadsBy === undefined ||
      (running === undefined
        ? links.some((name) => signs.links.test(name))
        : links.some((name) => leadsBy.links.test(name)) ||
          processes.some((program) => leadsBy.programs.includes(program)));
    if (!leads && (running !== undefined || found.length > 0)) {
      return [ok(
        `${
          running === undefined ? `${tool} has ${named}` : `${running} of ${tool} runs`
        }, and nothing that ` +
          `leads packets: its policies may stand beside this overlay`,
      )];
    }
    if (running !== undefined) {
      return [doubtful(
        `${running} of ${tool} runs on this host: two overlays undo each other's work, unless it only has policies`,
        `end it if it is not meant to run beside this overlay`,
      )];
    }
    return found.length === 0 ? [] : [doubtful(
      `${tool} has left ${named}: packets may still be led or dropped by it`,
      `remove what it has left, or boot this host anew after its configuration is gone`,
    )];
  });
  if (said.length > 0) return said;
  return [
    chains === undefined
      ? unseen("only root sees rules; no link is left")
      : ok("no other overlay has left anything here"),
  ];
}

/** The links of ours, and those that pods have. */
export function ownLinksOf(
  links: readonly ObservedLink[],
  bridge: string | undefined,
): readonly ObservedLink[] {
  return links.filter(({ name }) => isVtepName(name) || name === bridge);
}
