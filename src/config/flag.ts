/** What a flag's words become. */
export type FlagValue = string | number | boolean | readonly string[];

/** The headings of the help text, in its order. */
export const FLAG_GROUPS = [
  "Underlay",
  "Overlay, over what net-conf.json says",
  "Rules, routes and links of this host",
  "Registry and files",
  "Status and log",
  "Accepted for flannel, not in this version",
] as const;

/** One option: `-name` on the command line, `FLANNELD_NAME` in the environment. */
export interface Flag {
  readonly name: string;
  readonly kind: "string" | "integer" | "boolean" | "list";
  readonly group: (typeof FLAG_GROUPS)[number];
  /** Absent where the value then comes from elsewhere, as from net-conf.json. */
  readonly default?: FlagValue;
  /** What the value is, in the help text. */
  readonly value?: string;
  /** One line. */
  readonly help: string;
  /** Smallest and largest integer. */
  readonly range?: readonly [minimum: number, maximum: number];
  /** The only strings there are. */
  readonly words?: readonly string[];
  /** An empty string on the command line is refused. */
  readonly isRequired?: true;
  /** Not a flag of flannel: a bad value is fatal wherever it stands. */
  readonly isNew?: true;
  /** What a person who asks for it is told; the feature comes in a later version. */
  readonly later?: string;
}

/** The environment variable that stands for the flag `name`. */
export function variableOf(name: string): string {
  return `FLANNELD_${name.replaceAll("-", "_").toUpperCase()}`;
}
