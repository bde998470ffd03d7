import { array, object, optional, safeParse, string, union } from "zod/mini";
import { parseXML } from "@aws-sdk/xml-builder";

/** What EC2 refuses with for now: it has too much to do, or this account asks too much. */
const THROTTLES: ReadonlySet<string> = new Set([
  "BandwidthLimitExceeded",
  "EC2ThrottledException",
  "PriorRequestNotComplete",
  "RequestLimitExceeded",
  "RequestThrottled",
  "RequestThrottledException",
  "SlowDown",
  "Throttling",
  "ThrottlingException",
  "TooManyRequestsException",
]);
/** The credentials are no longer good; others may be. EC2 says no more than that it does not know a key. */
const EXPIRED: ReadonlySet<string> = new Set([
  "AuthFailure",
  "ExpiredToken",
  "ExpiredTokenException",
  "InvalidClientTokenId",
  "RequestExpired",
]);
const REFUSALS: ReadonlySet<string> = new Set([
  "AccessDenied",
  "AccessDeniedException",
  "UnauthorizedOperation",
]);
/** What a signature is refused with that was made with a wrong key, or at a wrong time. */
const UNKNOWN: ReadonlySet<string> = new Set([
  "AuthFailure",
  "InvalidSignatureException",
  "RequestExpired",
  "RequestTimeTooSkewed",
  "SignatureDoesNotMatch",
]);
const MAX_MESSAGE = 400;
const MAX_CODE = 80;
const MINUTE_MS = 60_000;

/** EC2 has answered that it does not do what it was asked for, or has not answered. */
export class Ec2Error extends Error {
  override readonly name = "Ec2Error";
  /** `RouteLimitExceeded`; `NoAnswer` where none came that could be read. */
  readonly code: string;
  readonly action: string;
  /** How long EC2 asks to be left alone, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(
    action: string,
    { code, message, retryAfterMs }: {
      readonly code: string;
      readonly message: string;
      readonly retryAfterMs?: number | undefined;
    },
  ) {
    super(`${action}: ${message}`);
    this.action = action;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  get isThrottle(): boolean {
    return THROTTLES.has(this.code);
  }

  get isExpired(): boolean {
    return EXPIRED.has(this.code);
  }

  get isRefusal(): boolean {
    return REFUSALS.has(this.code);
  }
}

const entry = object({ Code: string(), Message: optional(string()) });
const some = object({ Error: union([entry, array(entry)]) });
/** EC2's shape first; the others are those of AWS's other services, and of what plays EC2. */
const errors = union([
  object({ Response: object({ Errors: some }) }),
  object({ ErrorResponse: some }),
  object({ ErrorResponse: object({ Errors: some }) }),
]);

/** What an answer with another status than 200 says. */
export function ec2ErrorOf(
  action: string,
  { status, body, retryAfterMs, skewMs }: {
    readonly status: number;
    readonly body: string;
    readonly retryAfterMs: number | undefined;
    /** How far this host's clock is behind; absent where that is of no account. */
    readonly skewMs: number | undefined;
  },
): Ec2Error {
  const read = safeParse(errors, tryParse(body));
  if (!read.success) {
    return new Ec2Error(action, {
      code: status === 503 ? "RequestLimitExceeded" : "NoAnswer",
      message: `the answer has status ${status} and is none of EC2's`,
      retryAfterMs,
    });
  }
  const root = "Response" in read.data ? read.data.Response : read.data.ErrorResponse;
  const { Error: found } = "Errors" in root ? root.Errors : root;
  const { Code, Message: text = "no reason given" } = Array.isArray(found) ? found[0]! : found;
  const code = plain(Code, MAX_CODE);
  const hint = UNKNOWN.has(code) ? clockHint(skewMs) : "";
  return new Ec2Error(action, { code, message: `${code}: ${plain(text, MAX_MESSAGE)}${hint}`, retryAfterMs });
}

/** EC2 says the same of a wrong key and of a wrong time. */
function clockHint(skewMs: number | undefined): string {
  if (skewMs === undefined) return "";
  const minutes = Math.round(Math.abs(skewMs) / MINUTE_MS);
  return ` (this host's clock is ${minutes} minutes ${skewMs > 0 ? "behind" : "ahead of"} AWS's: set it)`;
}

function tryParse(body: string): unknown {
  try {
    return parseXML(body);
  } catch {
    return undefined;
  }
}

/** A message of EC2's without the blob that only `sts decode-authorization-message` reads. */
function plain(text: string, longest: number): string {
  const [words] = text.split(/\s*Encoded authorization failure message/, 1);
  const line = words!.replaceAll(/[\s\p{C}]+/gu, " ").trim();
  return line.length > longest ? `${line.slice(0, longest)}…` : line;
}
