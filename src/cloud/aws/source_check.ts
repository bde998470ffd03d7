import type { Condition } from "../../model/condition.ts";
import { type CallOptions, describeNetworkInterfaces, turnCheckOff } from "./ec2_calls.ts";
import type { Ec2Client } from "./ec2_client.ts";
import { Ec2Error } from "./ec2_error.ts";
import { callReason } from "./words.ts";

/** Between looks at what another may have turned on again. */
const LOOK_MS = 3_600_000;

/**
 * Sees that an interface lets packets with pods' addresses through. On a host that is new the check is turned off without a
 * look, as that is one call less for each of many that start at once; else it is looked at first, so that an agent that
 * starts again changes nothing; and after that once an hour.
 */
export class SourceCheck {
  readonly #elapsedMs: () => number;
  /** The interface that was found, or made, right, and when. */
  #right: { readonly eniId: string; readonly atMs: number } | undefined;
  #conditions: readonly Condition[] = [];

  constructor(elapsedMs: () => number) {
    this.#elapsedMs = elapsedMs;
  }

  get conditions(): readonly Condition[] {
    return this.#conditions;
  }

  /**
   * Answers whether nothing is left to be done soon.
   *
   * @param isKept Whether it is left as it is, whatever it is.
   * @param isNew Whether this host had no route before.
   */
  async keep(
    client: Ec2Client,
    { eniId, isKept, isNew }: { readonly eniId: string; readonly isKept: boolean; readonly isNew: boolean },
    options: CallOptions,
  ): Promise<boolean> {
    const isKnown = this.#right?.eniId === eniId;
    if (isKnown && this.#elapsedMs() - this.#right!.atMs < LOOK_MS) return true;
    try {
      const why = isKept
        ? await this.#isOn(client, eniId, options) ? "the configuration says to keep it" : undefined
        : await this.#turnOff(client, { eniId, isLooked: !isNew || isKnown }, options);
      if (why === undefined) return this.#isRight(eniId);
      this.#right = undefined;
      this.#conditions = [{
        code: "cloud-check-on",
        sentence: `the source/destination check of ${eniId} is on, so that it drops packets of pods: ${why}`,
      }];
      return isKept;
    } catch (error) {
      if (!(error instanceof Ec2Error)) throw error;
      const why = callReason(error, eniId);
      this.#conditions = [
        isKnown
          ? {
            code: "cloud-not-answering",
            sentence: `the source/destination check of ${eniId} was not looked at: ${why}`,
          }
          : {
            code: "cloud-check-on",
            sentence:
              `the source/destination check of ${eniId} may be on, so that it drops packets of pods: ${why}`,
          },
      ];
      return false;
    }
  }

  /** Turns it off, unless a look finds it so. Answers with why it is on all the same. */
  async #turnOff(
    client: Ec2Client,
    { eniId, isLooked }: { readonly eniId: string; readonly isLooked: boolean },
    options: CallOptions,
  ): Promise<string | undefined> {
    if (isLooked && await this.#isKnownOff(client, eniId, options)) return undefined;
    try {
      await turnCheckOff(client, eniId, options);
      return undefined;
    } catch (error) {
      if (!(error instanceof Ec2Error) || !error.isRefusal) throw error;
      // It may have been turned off when the instance was made.
      if (!isLooked && await this.#isKnownOff(client, eniId, options)) return undefined;
      return callReason(error, eniId);
    }
  }

  /** Whether it is seen to be off: what may not be seen may be allowed to be changed. */
  async #isKnownOff(client: Ec2Client, eniId: string, options: CallOptions): Promise<boolean> {
    try {
      return !await this.#isOn(client, eniId, options);
    } catch (error) {
      if (!(error instanceof Ec2Error) || !error.isRefusal) throw error;
      return false;
    }
  }

  #isRight(eniId: string): true {
    this.#right = { eniId, atMs: this.#elapsedMs() };
    this.#conditions = [];
    return true;
  }

  async #isOn(client: Ec2Client, eniId: string, options: CallOptions): Promise<boolean> {
    const [found] = await describeNetworkInterfaces(client, { ids: [eniId] }, options);
    return found?.isChecked !== false;
  }
}
