import type { Caller, Identities } from "./identities.ts";
import { isSignedWith, parseClaim, parseStamp, type SignedRequest } from "./signature.ts";

/** Why AWS does not know who sent a request. Each service has codes of its own for it. */
export type AuthProblem =
  | "not signed"
  | "unknown key"
  | "wrong token"
  | "wrong signature"
  | "wrong scope"
  | "expired credentials"
  | "clock skew";

/** What a service goes by. */
export interface AuthDeps {
  readonly identities: Identities;
  readonly now: () => number;
  /** As the documentation of signature version 4 has it; some services are content with fifteen minutes. */
  readonly maxSkewMs: number;
  readonly region: string;
}

/** Finds out who signed a request for `service`, or why nobody is known to have. */
export function authenticate(request: SignedRequest, service: string, deps: AuthDeps): Caller | AuthProblem {
  const header = request.headers.get("authorization")?.[0];
  const claim = header && parseClaim(header);
  const stamp = request.headers.get("x-amz-date")?.[0];
  if (!claim || stamp === undefined) return "not signed";
  const known = deps.identities.find(claim.accessKeyId);
  if (known === undefined) return "unknown key";
  const { sessionToken, secretAccessKey, expiresAt } = known.credentials;
  if (request.headers.get("x-amz-security-token")?.[0] !== sessionToken) return "wrong token";
  if (claim.service !== service || claim.region !== deps.region) return "wrong scope";
  const isWhole = claim.signedHeaders.includes("host") && claim.signedHeaders.includes("x-amz-date") &&
    stamp.startsWith(claim.date);
  if (!isWhole || !isSignedWith(request, claim, secretAccessKey)) return "wrong signature";
  if (!(Math.abs(parseStamp(stamp) - deps.now()) <= deps.maxSkewMs)) return "clock skew";
  if (expiresAt !== undefined && expiresAt.getTime() <= deps.now()) return "expired credentials";
  return known.caller;
}

/** A request of the HTTP server as it was signed. */
export function signedRequest(request: Request, body: string): SignedRequest {
  const url = new URL(request.url);
  return {
    method: request.method,
    path: url.pathname,
    query: url.search.slice(1),
    headers: new Map([...request.headers].map(([name, value]) => [name, [value]])),
    body,
  };
}
