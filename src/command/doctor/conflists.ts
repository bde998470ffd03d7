import { basename, dirname, join } from "node:path";
import type { Options } from "../../config/options.ts";
import { fileReason } from "../../file/file_reason.ts";
import { bridgeIn, isOurConflist, USUAL_BRIDGE } from "../../pods/conflist.ts";
import type { HostFiles } from "./host_files.ts";

/** Where runtimes look for network configurations unless told. */
const USUAL_CONFLIST_FOLDER = "/etc/cni/net.d";
const CONFLIST = /\.(conf|conflist|json)$/;
/** More of them are not read. */
const MOST_CONFLISTS = 50;

/** The runtime's network configurations. */
export interface FoundConflists {
  readonly folder: string;
  /** In the order in which a runtime chooses; the text is absent where it can't be read. */
  readonly files: readonly {
    readonly name: string;
    readonly text: string | undefined;
    readonly fault?: string;
  }[];
  /** Which one is ours; `undefined` if none is. */
  readonly ownName: string | undefined;
  /** Whether the agent is asked to write one. */
  readonly isAsked: boolean;
}

/** Reads the runtime's network configurations, of the folder that the agent is told or of the usual one. */
export async function readConflists(
  files: HostFiles,
  { conflist }: Pick<Options, "conflist">,
): Promise<FoundConflists> {
  const folder = conflist === undefined ? join(files.root, USUAL_CONFLIST_FOLDER) : dirname(conflist.path);
  const names = (await files.namesIn(folder) ?? []).filter((name) => CONFLIST.test(name));
  const found = await Promise.all(
    names.slice(0, MOST_CONFLISTS).map(async (name) => {
      try {
        return { name, text: await files.named(join(folder, name)) };
      } catch (error) {
        return { name, text: undefined, fault: fileReason(error) };
      }
    }),
  );
  const ours = found.filter(({ text }) => text !== undefined && isOurConflist(text)).map(({ name }) => name);
  const named = conflist === undefined ? undefined : basename(conflist.path);
  const ownName = named !== undefined && ours.includes(named) ? named : ours[0];
  return { folder, files: found, ownName, isAsked: conflist !== undefined };
}

/** The bridge that pods are on; `undefined` where they are on none. */
export function bridgeOf({ files, ownName }: FoundConflists): string | undefined {
  const own = files.find(({ name }) => name === ownName);
  try {
    return own?.text === undefined ? USUAL_BRIDGE : bridgeIn(own.text);
  } catch {
    return USUAL_BRIDGE;
  }
}
