import type { Options } from "../../config/options.ts";
import { ConflistError, OWN_TYPE, pluginTypes } from "../../pods/conflist.ts";
import { missingPlugins, USUAL_PLUGIN_FOLDERS } from "../../pods/plugin_folders.ts";

/** Where the runtime has its plugins, as far as it is said. */
export interface PluginPlaces {
  readonly options: Pick<Options, "pluginFolder">;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** What is known of the plugin that a conflist is to call. */
export interface PluginOutlook {
  /** Why it can't be called, a clause. */
  readonly obstacle?: string;
  /** Why that is not known, a clause. */
  readonly doubt?: string;
}

/**
 * Looks for the plugin `flannel`, which nobody needs under a rendered conflist, in the folder that the runtime must have:
 * the one that is named, or in which the plugins of that conflist are.
 */
export function pluginOutlook(
  { options, environment }: PluginPlaces,
  rendered: string,
  usualFolders = USUAL_PLUGIN_FOLDERS,
): PluginOutlook {
  const named = options.pluginFolder ?? (environment.CNI_BIN_DIR || undefined);
  const folders = (named === undefined ? usualFolders : [named]).filter(isFolder);
  if (folders.length > 0 && missingPlugins([OWN_TYPE], folders).length === 0) return {};
  const types = typesIn(rendered);
  const used = named === undefined
    ? folders.filter((folder) => missingPlugins(types, [folder]).length === 0)
    : folders;
  if (used.length > 0) {
    return {
      obstacle:
        `there is no plugin ${OWN_TYPE} in ${used.join(" or ")}, so no pod could be attached or detached; ` +
        "install flannel's (or 'loden install-cni'), or name the runtime's folder with -cni-bin-dir",
    };
  }
  const where = named ?? usualFolders.join(" or ");
  return {
    doubt:
      `plugin ${OWN_TYPE}: it is not known whether the runtime has it, as its folder is not ${where}, or can't be ` +
      "seen here; without it no pod can be attached or detached",
  };
}

function typesIn(rendered: string): string[] {
  try {
    return pluginTypes(rendered);
  } catch (error) {
    if (error instanceof ConflistError) return [];
    throw error;
  }
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch {
    return false;
  }
}
