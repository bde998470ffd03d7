import { BESIDE_FAULTS } from "./beside_faults.ts";
import { OWNING_FAULTS } from "./owning_faults.ts";
import { testStanding } from "./standing_table.ts";

testStanding("owning", "what is and is not a host's own", [...OWNING_FAULTS, ...BESIDE_FAULTS]);
