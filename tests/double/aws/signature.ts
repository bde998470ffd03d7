import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** The one algorithm that is understood. */
const ALGORITHM = "AWS4-HMAC-SHA256";

/** What of a request is signed. */
export interface SignedRequest {
  readonly method: string;
  /** As it stands in the request line, without the query. */
  readonly path: string;
  /** Without `?`. */
  readonly query: string;
  /** By lower-case name; one that came several times has several values. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

/** What the header `Authorization` says. */
export interface Claim {
  readonly accessKeyId: string;
  /** `YYYYMMDD`. */
  readonly date: string;
  readonly region: string;
  readonly service: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

const CLAIM =
  /^AWS4-HMAC-SHA256\s+Credential=([^/,\s]+)\/(\d{8})\/([^/,\s]+)\/([^/,\s]+)\/aws4_request,\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})$/;

/** Reads a header `Authorization`; `undefined` if it is none of signature version 4. */
export function parseClaim(header: string): Claim | undefined {
  const match = CLAIM.exec(header.trim());
  if (match === null) return undefined;
  const [, accessKeyId, date, region, service, signedHeaders, signature] = match as unknown as string[];
  return {
    accessKeyId: accessKeyId!,
    date: date!,
    region: region!,
    service: service!,
    signedHeaders: signedHeaders!.split(";"),
    signature: signature!,
  };
}

/** The text that a signature stands for, as the documentation of signature version 4 defines it. */
export function canonicalRequest(request: SignedRequest, signedHeaders: readonly string[]): string {
  const headers = signedHeaders.map((name) => {
    const values = (request.headers.get(name) ?? []).map((value) => value.trim().replaceAll(/\s+/g, " "));
    return `${name}:${values.join(",")}\n`;
  });
  return [
    request.method,
    canonicalPath(request.path),
    canonicalQuery(request.query),
    headers.join(""),
    signedHeaders.join(";"),
    sha256(request.body),
  ].join("\n");
}

/** The signature that a request must have. */
export function signatureOf(
  request: SignedRequest,
  scope: Pick<Claim, "date" | "region" | "service" | "signedHeaders">,
  secretAccessKey: string,
): string {
  const stamp = request.headers.get("x-amz-date")?.[0] ?? "";
  const toSign = [
    ALGORITHM,
    stamp,
    `${scope.date}/${scope.region}/${scope.service}/aws4_request`,
    sha256(canonicalRequest(request, scope.signedHeaders)),
  ].join("\n");
  const key = [scope.date, scope.region, scope.service, "aws4_request"]
    .reduce<string | Uint8Array>((last, part) => hmac(last, part), `AWS4${secretAccessKey}`);
  return hmac(key, toSign).toHex();
}

/** Reports whether a claim's signature is the one that the secret makes. */
export function isSignedWith(request: SignedRequest, claim: Claim, secretAccessKey: string): boolean {
  const wanted = signatureOf(request, claim, secretAccessKey);
  return timingSafeEqual(Uint8Array.fromHex(wanted), Uint8Array.fromHex(claim.signature));
}

/** `20150830T123600Z` as a time; `NaN` for any other text. */
export function parseStamp(text: string): number {
  const iso = text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z");
  return iso === text ? NaN : Date.parse(iso);
}

function hmac(key: string | Uint8Array, text: string): Uint8Array {
  return new Uint8Array(createHmac("sha256", key).update(text, "utf8").digest());
}

function sha256(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

/** What RFC 3986 does not reserve stays; all else is written in hexadecimal. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function canonicalPath(path: string): string {
  return path.split("/").map((part) => encode(decodeURIComponent(part))).join("/");
}

function canonicalQuery(query: string): string {
  if (query === "") return "";
  const pairs = query.split("&").map((pair) => {
    const at = pair.indexOf("=");
    const [name, value] = at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
    return [encode(decodeURIComponent(name)), encode(decodeURIComponent(value))] as const;
  });
  return pairs.sort(([a, x], [b, y]) => (a === b ? compare(x, y) : compare(a, b)))
    .map(([name, value]) => `${name}=${value}`).join("&");
}

/** By bytes: what is encoded is ASCII. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
