import { STANDING_FAULTS } from "./standing_faults.ts";
import { testStanding } from "./standing_table.ts";

testStanding("standing", "who a host is", STANDING_FAULTS);
