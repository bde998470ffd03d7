import type { Address } from "../../model/address.ts";
import type { Underlay } from "../../model/underlay.ts";
import type { CarryingHost, OwnMarks } from "./ours.ts";
import type { UnderlayFlags } from "./ways.ts";

/** What the underlay is chosen by. */
export interface UnderlayOptions extends UnderlayFlags, OwnMarks {
  /** What the cluster knows this host by; it breaks ties. */
  readonly nodeAddresses?: readonly Address[];
}

/** What was chosen before, which is to stay. */
export interface EarlierChoice {
  /** What others were told last; absent before the first choice. */
  readonly inUse?: Underlay;
  /** What each way led to first: it is taken again when it is there again. */
  readonly first?: readonly Underlay[];
  /** Addresses that were in use when there was an agent before, best first; they count for the first choice only. */
  readonly lastAddresses?: readonly Address[];
}

/** What one choice is made from. */
export interface ChoiceInputs {
  readonly host: CarryingHost;
  readonly options: UnderlayOptions;
  readonly standing: EarlierChoice;
}
