import { faultAnswer, xmlAnswer } from "./answer.ts";
import { authenticate, type AuthProblem, signedRequest } from "./authenticate.ts";
import { AwsError } from "./aws_error.ts";
import type { Call } from "./control.ts";
import type { Ec2Deps } from "./fake_ec2.ts";
import { Query } from "./query.ts";
import { toXml, type XmlValue } from "./xml.ts";

const VERSION = "2011-06-15";
const NAMESPACE = `https://sts.amazonaws.com/doc/${VERSION}/`;

/** What STS says when it does not know the caller. */
const STS_PROBLEMS: Readonly<Record<AuthProblem, readonly [code: string, message: string, status: number]>> =
  {
    "not signed": ["MissingAuthenticationToken", "Request is missing Authentication Token", 403],
    "unknown key": ["InvalidClientTokenId", "The security token included in the request is invalid.", 403],
    "wrong token": ["InvalidClientTokenId", "The security token included in the request is invalid", 403],
    "wrong signature": [
      "SignatureDoesNotMatch",
      "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
      403,
    ],
    "wrong scope": ["SignatureDoesNotMatch", "Credential should be scoped to a valid region. ", 403],
    "clock skew": ["SignatureDoesNotMatch", "Signature expired: it is too far from the current time", 403],
    "expired credentials": ["ExpiredToken", "The security token included in the request is expired", 403],
  };

/** What the service works on. */
export type StsDeps = Omit<Ec2Deps, "problems">;

/** The HTTP API of STS: answers one request. */
export async function stsHandler(request: Request, deps: StsDeps): Promise<Response> {
  const { control } = deps;
  const body = await request.text();
  const query = new Query([...new URL(request.url).searchParams, ...new URLSearchParams(body)]);
  const action = query.text("Action") ?? "";
  // Who has a web identity has no key yet: the request is not signed.
  const isUnsigned = action === "AssumeRoleWithWebIdentity";
  const caller = isUnsigned ? undefined : authenticate(signedRequest(request, body), "sts", deps);
  const call: Call = {
    service: "sts",
    action,
    caller: typeof caller === "object" ? caller.arn : "",
    isDryRun: false,
    query,
    result: "ok",
  };
  control.calls.push(call);
  try {
    const fault = control.takeFault(call);
    if (fault instanceof AwsError) throw fault;
    if (fault === "throttle") throw new AwsError("Throttling", "Rate exceeded");
    if (fault !== undefined && fault !== "lost answer") return await faultAnswer(fault, deps.closing);
    if (query.text("Version") !== VERSION) {
      throw new AwsError("NoSuchVersion", "The requested version of service STS does not exist");
    }
    if (typeof caller === "string") throw new AwsError(...STS_PROBLEMS[caller]);
    await control.runHooks(call, query);
    if (isUnsigned) return resultOf(action, assume(query, deps), deps);
    if (action !== "GetCallerIdentity") {
      throw new AwsError("InvalidAction", `Could not find operation ${action} for version ${VERSION}`);
    }
    const identity = { Arn: caller!.arn, UserId: caller!.userId, Account: deps.cloud.account };
    return resultOf(action, identity, deps);
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    call.result = error.code;
    const type = error.status < 500 ? "Sender" : "Receiver";
    const text = toXml("ErrorResponse", {
      Error: { Type: type, Code: error.code, Message: error.message },
      RequestId: crypto.randomUUID(),
    });
    return xmlAnswer(withNamespace("ErrorResponse", text), control.now(), error.status);
  }
}

function assume(query: Query, { identities }: StsDeps): XmlValue {
  const [roleArn, sessionName, token] = ["RoleArn", "RoleSessionName", "WebIdentityToken"].map((name) => {
    const text = query.text(name);
    if (text === undefined) {
      throw new AwsError("ValidationError", `Value null at '${name}' failed to satisfy constraint`);
    }
    return text;
  }) as [string, string, string];
  const { credentials, caller, trust, subject } = identities.assumeWithToken({
    ...{ roleArn, sessionName, token },
    seconds: query.integer("DurationSeconds"),
  });
  return {
    SubjectFromWebIdentityToken: subject,
    Audience: trust.audience,
    Provider: trust.issuer,
    AssumedRoleUser: { AssumedRoleId: caller.userId, Arn: caller.arn },
    Credentials: {
      AccessKeyId: credentials.accessKeyId,
      SecretAccessKey: credentials.secretAccessKey,
      SessionToken: credentials.sessionToken,
      Expiration: credentials.expiresAt,
    },
  };
}

function resultOf(action: string, result: XmlValue, { now }: StsDeps): Response {
  const name = `${action}Response`;
  const text = toXml(name, {
    [`${action}Result`]: result,
    ResponseMetadata: { RequestId: crypto.randomUUID() },
  });
  return xmlAnswer(withNamespace(name, text), now());
}

function withNamespace(name: string, text: string): string {
  return text.replace(`<${name}>`, `<${name} xmlns="${NAMESPACE}">`);
}
