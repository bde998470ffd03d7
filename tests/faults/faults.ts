import { AGENT_FAULTS, FILE_FAULTS, RULE_FAULTS, SYSCTL_FAULTS } from "./host_faults.ts";
import { TABLE_FAULTS, UNDERLAY_FAULTS, VTEP_FAULTS } from "./kernel_faults.ts";
import type { Fault } from "./site.ts";

/** Everything that is made to go wrong, as data, in the order of the table. */
export const FAULTS: readonly Fault[] = [
  ...TABLE_FAULTS,
  ...VTEP_FAULTS,
  ...UNDERLAY_FAULTS,
  ...RULE_FAULTS,
  ...SYSCTL_FAULTS,
  ...AGENT_FAULTS,
  ...FILE_FAULTS,
];
