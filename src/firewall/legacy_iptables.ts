import { errorText } from "../log/error_text.ts";
import type { Log } from "../log/log.ts";
import { Fights, fightText, VITAL } from "../loop/fights.ts";
import { FAMILIES, type Family, formatPrefix, type Prefix } from "../model/address.ts";
import type { ProgramEnd } from "../linux/program.ts";
import type { LegacyTable } from "../linux/legacy_tables.ts";
import { parseLegacyListing, planLegacyForward, planLegacyNat } from "./legacy_rules.ts";
import { familyWishes, type RuleWishes } from "./rules.ts";

/** How a program is called, by family. */
const PREFIX: Readonly<Record<Family, string>> = { 2: "iptables-legacy", 10: "ip6tables-legacy" };

/** What is needed of the host. */
export interface LegacyDeps {
  /** The legacy tables of a family that are in use. */
  readonly tables: (family: Family) => readonly string[];
  /** Looks at the table `filter`. */
  readonly filter: (family: Family) => LegacyTable;
  /** Where a program is; `undefined` where there is none. */
  readonly find: (name: string) => string | undefined;
  /** Whether this process may start programs at all. */
  readonly mayRun: () => boolean;
  /** Runs a program with `input`, and ends it when it takes too long. */
  readonly run: (path: string, args: readonly string[], input: string) => Promise<ProgramEnd>;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
  readonly log: Log;
}

/** What is not as wished, one sentence each. */
export interface LegacyReport {
  readonly failures: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * The same for a host whose firewall is legacy iptables: only its own program can change it. It is started when
 * something has changed.
 */
export class LegacyIptables {
  readonly #deps: LegacyDeps;
  readonly #settled = new Map<Family, { wishes: RuleWishes; shape: string }>();
  /** Former networks whose rules are gone: what comes back of them is another program's. */
  readonly #gone = new Map<Family, ReadonlySet<string>>();
  /** What rules were made for, or found as wished, at the last look. */
  readonly #made = new Map<Family, RuleWishes>();
  readonly #fights: Fights<string>;

  constructor(deps: LegacyDeps) {
    this.#deps = deps;
    this.#fights = new Fights(deps.elapsedMs, VITAL);
  }

  async keep(wishes: RuleWishes): Promise<LegacyReport> {
    const report = { failures: [] as string[], warnings: [] as string[] };
    for (const family of FAMILIES) {
      try {
        await this.#keep(wishes, family, report.warnings);
      } catch (error) {
        this.#settled.delete(family);
        this.#made.delete(family);
        report.failures.push(errorText(error));
      }
    }
    for (const fight of this.#fights.standing) report.warnings.push(fightText(fight, fight.about));
    return report;
  }

  async #keep(wishes: RuleWishes, family: Family, warnings: string[]): Promise<void> {
    const { tables, filter, find, log } = this.#deps;
    const names = tables(family);
    const table = names.includes("filter") ? filter(family) : undefined;
    const hasNat = names.includes("nat");
    if (table === undefined && !hasNat) return;
    const shape = `${table?.shape} ${hasNat}`;
    const settled = this.#settled.get(family);
    if (settled?.wishes === wishes && settled.shape === shape) return;
    const thing = `Loden's rules in ${PREFIX[family]}`;
    if (this.#fights.isSlowed(thing)) return;
    const isGone = (network: Prefix) => this.#gone.get(family)?.has(formatPrefix(network));
    const present = { ...wishes, former: wishes.former?.filter((network) => !isGone(network)) ?? [] };
    const { part } = familyWishes(wishes, family);
    const network = wishes.isForwarding ? part?.network : undefined;
    const filters = table?.filtersForward === true;
    const save = find(`${PREFIX[family]}-save`);
    const restore = find(`${PREFIX[family]}-restore`);
    if (save === undefined || restore === undefined) {
      if (network !== undefined && filters) {
        warnings.push(
          "legacy iptables filters forwarded packets on this host, and " + (
            this.#deps.mayRun()
              ? `there is no ${
                PREFIX[family]
              }-restore to have those of pods accepted: install iptables here, ` +
                "or have its FORWARD chain accept them"
              : `this agent can start no ${
                PREFIX[family]
              }-restore to have those of pods accepted, as there was no ` +
                "legacy iptables when it was started: start the agent anew, or have its FORWARD chain accept them"
          ),
        );
      }
      return;
    }
    const list = async (name: string) => parseLegacyListing((await this.#run(save, ["-t", name], "")).stdout);
    const inputs: (string | undefined)[] = [];
    // Where nothing is filtered, nothing need be accepted.
    if (table !== undefined && (filters || network === undefined)) {
      inputs.push(planLegacyForward(await list("filter"), present, family));
    }
    if (hasNat) inputs.push(planLegacyNat(await list("nat"), present, family));
    const changes = inputs.filter((input) => input !== undefined);
    // What is not as wished because other rules are wished now is no other program's doing.
    const isUndone = changes.length > 0 && this.#made.get(family) === wishes;
    if (isUndone) this.#fights.turn(thing, () => "others there, or none");
    if (this.#fights.isSlowed(thing)) {
      this.#made.delete(family);
      return;
    }
    this.#made.set(family, wishes);
    for (const input of changes) {
      await this.#run(restore, ["--noflush", "--wait"], input);
      log.write("info", "rules changed", { actions: [`${PREFIX[family]}-restore`] });
    }
    // Others may have changed something since it was listed: what was changed is looked at again.
    if (changes.length > 0) this.#settled.delete(family);
    else {
      this.#settled.set(family, { wishes, shape });
      this.#gone.set(family, new Set(wishes.former?.map(formatPrefix)));
    }
  }

  async #run(path: string, args: readonly string[], input: string): Promise<ProgramEnd> {
    const end = await this.#deps.run(path, args, input);
    if (end.code === 0) return end;
    const [line = ""] = end.stderr.trim().split("\n");
    throw new Error(`Cannot run ${path} ${args.join(" ")}: it ended with ${end.code}, "${line}"`);
  }
}
