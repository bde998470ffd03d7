import { createHmac } from "node:crypto";

/** What every provider of this double signs with: a token that was tampered with is told by it. */
const SECRET = "the provider's own";

/** What a service account's token says. */
export interface TokenClaims {
  readonly issuer: string;
  /** `system:serviceaccount:NAMESPACE:NAME`. */
  readonly subject: string;
  readonly audience: string;
  readonly expiresAt: Date;
}

/** Makes a token as Kubernetes projects it for a service account; it is signed by another algorithm. */
export function webIdentityToken({ issuer, subject, audience, expiresAt }: TokenClaims): string {
  const payload = { iss: issuer, sub: subject, aud: [audience], exp: Math.floor(expiresAt.getTime() / 1000) };
  const text = `${toPart({ alg: "HS256", typ: "JWT" })}.${toPart(payload)}`;
  return `${text}.${sign(text)}`;
}

/** Reads a token; `undefined` if it is none. */
export function parseJwt(token: string): {
  readonly issuer: string;
  readonly subject: string;
  readonly audiences: readonly string[];
  readonly expiresAtSeconds: number;
  readonly isGenuine: boolean;
} | undefined {
  const parts = token.split(".");
  if (parts.length !== 3) return undefined;
  try {
    const { iss, sub, aud, exp } = JSON.parse(
      new TextDecoder().decode(Uint8Array.fromBase64(parts[1]!, { alphabet: "base64url" })),
    );
    const isGenuine = parts[2] === sign(`${parts[0]}.${parts[1]}`);
    return { issuer: iss, subject: sub, audiences: [aud].flat(), expiresAtSeconds: exp, isGenuine };
  } catch {
    return undefined;
  }
}

function sign(text: string): string {
  return createHmac("sha256", SECRET).update(text).digest("base64url");
}

function toPart(value: unknown): string {
  return new TextEncoder().encode(JSON.stringify(value)).toBase64({
    alphabet: "base64url",
    omitPadding: true,
  });
}
