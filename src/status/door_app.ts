import { printableIn } from "../log/printable.ts";
import { errorText } from "../log/error_text.ts";
import { DoorRefusal } from "./door_refusal.ts";
import type { StatusDeps } from "./facts.ts";
import { statusReport } from "./status_report.ts";

/** Answers one question of a command of this host, in JSON. */
type DoorAnswer = (facts: StatusDeps, query: URLSearchParams) => unknown;

/** What can be asked at the agent's door; what few ask for is loaded when it is asked. */
const ROUTES: Readonly<Record<string, DoorAnswer>> = {
  "/plan": planReport,
  "/status": (facts) => statusReport(facts),
  "/peers": async (facts, query) => (await import("./peers.ts")).answerPeers(facts, query),
  "/paths": async (facts) => (await import("./path_answers.ts")).answerPaths(facts),
  "/ask": async (facts, query) => await (await import("./path_answers.ts")).answerPeerQuestion(facts, query),
  "/lease-of": async (facts, query) => (await import("./lease_of.ts")).answerLeaseOf(facts, query),
};

async function planReport({ plan, conditions }: StatusDeps, query: URLSearchParams): Promise<unknown> {
  if (plan !== undefined) return await plan({ isWhole: query.has("all") });
  const [first] = conditions();
  throw new DoorRefusal(`the agent has no plan yet: ${first?.sentence ?? "it is starting"}`);
}

/** What the agent answers the commands of its host, over a socket that root alone can use. */
export async function answerAtDoor(facts: StatusDeps, request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const route = Object.hasOwn(ROUTES, pathname) ? ROUTES[pathname] : undefined;
  if (route === undefined) return told(404, { error: `this agent does not know ${pathname}` });
  try {
    return told(200, await route(facts, searchParams));
  } catch (error) {
    return told(error instanceof DoorRefusal ? 409 : 500, { error: errorText(error) });
  }
}

function told(status: number, body: unknown): Response {
  const text = JSON.stringify(printableIn(body));
  return new Response(text, { status, headers: { "content-type": "application/json" } });
}
