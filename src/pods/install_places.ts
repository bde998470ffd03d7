import { join } from "node:path";

/** Where the plugin and the conflist are put: Calico's variables, else where flannel has them. */
export interface InstallPlaces {
  readonly pluginPath: string;
  readonly conflistFolder: string;
  /** The conflist's file name; empty where none is to be written. */
  readonly conflistName: string;
}

/** Flannel's name for the conflist. */
export const USUAL_CONFLIST_NAME = "10-flannel.conflist";
/** Flannel's name for the plugin, and for its file. */
export const PLUGIN = "flannel";

/** The plugin in a folder of plugins. */
export function pluginIn(folder: string): string {
  return join(folder, PLUGIN);
}

/** Reads `CNI_BIN_DIR`, `CNI_NET_DIR` and `CNI_CONF_NAME`. */
export function installPlaces(environment: Readonly<Record<string, string | undefined>>): InstallPlaces {
  const { CNI_BIN_DIR, CNI_NET_DIR, CNI_CONF_NAME } = environment;
  return {
    pluginPath: pluginIn(CNI_BIN_DIR || "/opt/cni/bin"),
    conflistFolder: CNI_NET_DIR || "/etc/cni/net.d",
    conflistName: CNI_CONF_NAME ?? USUAL_CONFLIST_NAME,
  };
}
