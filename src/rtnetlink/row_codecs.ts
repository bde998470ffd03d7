import type { StateTables } from "../model/state.ts";
import { fdbCodec } from "./fdb.ts";
import { neighbourCodec } from "./neighbour.ts";
import { routeCodec } from "./route.ts";
import type { RowCodec } from "./row_codec.ts";

/** The codec of each hot table. */
export const ROW_CODECS = {
  neighbours: neighbourCodec,
  fdb: fdbCodec,
  routes: routeCodec,
} as const satisfies Record<keyof StateTables, RowCodec>;
