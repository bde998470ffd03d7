/**
 * Loden: a layer 3 network for pods that heals itself. This is the whole binary; `loden help` tells its commands.
 *
 * @module
 */
import { main } from "./src/cli/main.ts";

if (import.meta.main) Deno.exit(await main());
