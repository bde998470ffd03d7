import { doorPath } from "../../src/status/door_path.ts";
import type { LabHost } from "../../src/lab/host.ts";
import type { PathState } from "../../src/model/peer_path.ts";

/** What an agent answers at its door; `undefined` while nobody does. */
export async function atDoor(host: LabHost, target: string): Promise<unknown> {
  try {
    using conn = await Deno.connect({ transport: "unix", path: doorPath(host.subnetFilePath) });
    const text = `GET ${target} HTTP/1.0\r\nHost: loden\r\n\r\n`;
    await conn.write(new TextEncoder().encode(text));
    const answer = await new Response(conn.readable).text();
    return JSON.parse(answer.slice(answer.indexOf("\r\n\r\n") + 4));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.ConnectionRefused) return;
    throw error;
  }
}

/** A path as `/paths` has it, as far as tests look at it. */
export interface ToldPath {
  readonly host: string;
  readonly family: string;
  readonly state: PathState;
  readonly reason?: string;
}

/** The paths that an agent knows. */
export async function pathsOf(host: LabHost): Promise<readonly ToldPath[]> {
  const told = await atDoor(host, "/paths") as { readonly peers?: readonly ToldPath[] } | undefined;
  return told?.peers ?? [];
}

/** The conditions that hold on a host, by code. */
export async function conditionsAt(host: LabHost): Promise<ReadonlyMap<string, string>> {
  const told = await atDoor(host, "/status") as
    | { readonly conditions?: readonly { readonly code: string; readonly reason: string }[] }
    | undefined;
  return new Map(told?.conditions?.map(({ code, reason }) => [code, reason]));
}
