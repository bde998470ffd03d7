import { faultAnswer, xmlAnswer } from "./answer.ts";
import { type AuthDeps, authenticate, type AuthProblem, signedRequest } from "./authenticate.ts";
import { AwsError } from "./aws_error.ts";
import type { Cloud } from "./cloud.ts";
import type { Call, Control } from "./control.ts";
import { type Action, EC2_ACTIONS } from "./ec2_actions.ts";
import type { Caller } from "./identities.ts";
import { judge, type Wish } from "./policy.ts";
import { Query } from "./query.ts";
import { toXml, type XmlValue } from "./xml.ts";

const VERSION = "2016-11-15";
const NAMESPACE = `http://ec2.amazonaws.com/doc/${VERSION}/`;
const COMMON_PARAMETERS = ["Action", "Version", "DryRun"];

/** What EC2 says when it does not know the caller: nearly always the same. */
export const EC2_PROBLEMS: Readonly<
  Record<AuthProblem, readonly [code: string, message: string, status: number]>
> = {
  "not signed": [
    "AuthFailure",
    "AWS was not able to authenticate the request: access credentials are missing",
    401,
  ],
  "unknown key": ["AuthFailure", "AWS was not able to validate the provided access credentials", 401],
  "wrong token": ["AuthFailure", "AWS was not able to validate the provided access credentials", 401],
  "wrong signature": ["AuthFailure", "AWS was not able to validate the provided access credentials", 401],
  "wrong scope": ["AuthFailure", "AWS was not able to validate the provided access credentials", 401],
  "clock skew": ["AuthFailure", "AWS was not able to validate the provided access credentials", 401],
  "expired credentials": ["RequestExpired", "Request has expired.", 400],
};

/** What the service works on. */
export interface Ec2Deps extends AuthDeps {
  readonly cloud: Cloud;
  readonly control: Control;
  /** Ends requests that are never answered. */
  readonly closing: AbortSignal;
  /** Codes that are to be others than {@linkcode EC2_PROBLEMS}. */
  readonly problems: Partial<typeof EC2_PROBLEMS>;
}

/** The HTTP API of EC2: answers one request. */
export async function ec2Handler(request: Request, deps: Ec2Deps): Promise<Response> {
  const { control } = deps;
  const body = await request.text();
  const query = new Query([...new URL(request.url).searchParams, ...new URLSearchParams(body)]);
  const caller = authenticate(signedRequest(request, body), "ec2", deps);
  const call: Call = {
    service: "ec2",
    action: query.text("Action") ?? "",
    caller: typeof caller === "string" ? "" : caller.arn,
    isDryRun: query.text("DryRun")?.toLowerCase() === "true",
    query,
    result: "ok",
  };
  control.calls.push(call);
  try {
    const fault = control.takeFault(call);
    if (fault instanceof AwsError) throw fault;
    if (fault === "throttle") throw new AwsError("RequestLimitExceeded", "Request limit exceeded.", 503);
    if (fault !== undefined && fault !== "lost answer") {
      call.result = typeof fault === "string" ? fault : "huge";
      return await faultAnswer(fault, deps.closing);
    }
    const answer = await answerTo(call, query, caller, deps);
    return fault === undefined ? answer : await faultAnswer(fault, deps.closing);
  } catch (error) {
    if (!(error instanceof AwsError)) throw error;
    call.result = error.code;
    return errorAnswer(error, control);
  }
}

async function answerTo(
  call: Call,
  query: Query,
  caller: Caller | AuthProblem,
  deps: Ec2Deps,
): Promise<Response> {
  const action = actionOf(query);
  if (typeof caller === "string") throw new AwsError(...deps.problems[caller] ?? EC2_PROBLEMS[caller]);
  await deps.control.runHooks(call, query);
  checkParameters(query, action);
  checkAllowed(call, query, caller, action, deps);
  if (query.flag("DryRun")) {
    throw new AwsError("DryRunOperation", "Request would have succeeded, but DryRun flag is set.", 412);
  }
  const result = action.run(query, deps) as { readonly [name: string]: XmlValue };
  const name = `${call.action}Response`;
  const text = toXml(name, { requestId: crypto.randomUUID(), ...result });
  return xmlAnswer(text.replace(`<${name}>`, `<${name} xmlns="${NAMESPACE}">`), deps.now());
}

function actionOf(query: Query): Action {
  const name = query.text("Action");
  if (name === undefined) throw new AwsError("MissingAction", "The request is missing an action.");
  if (query.text("Version") !== VERSION) {
    throw new AwsError(
      "NoSuchVersion",
      `The requested version (${query.text("Version")}) of service AmazonEC2 does not exist`,
    );
  }
  if (!Object.hasOwn(EC2_ACTIONS, name)) {
    throw new AwsError("InvalidAction", `The action ${name} is not valid for this web service.`);
  }
  return EC2_ACTIONS[name]!;
}

function checkParameters(query: Query, { parameters }: Action): void {
  const known = new Set([...COMMON_PARAMETERS, ...parameters.split(" ")]);
  const unknown = [...query.names].find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new AwsError("UnknownParameter", `The parameter ${unknown} is not recognized`);
  }
}

/** @throws {AwsError} Unless the caller's policies allow everything that the request touches. */
function checkAllowed(call: Call, query: Query, caller: Caller, action: Action, { cloud }: Ec2Deps): void {
  const all: Wish = { action: `ec2:${call.action}`, resource: "*", context: { "ec2:Region": cloud.region } };
  for (const wish of action.wishes?.(query, cloud) ?? [all]) {
    const verdict = judge(caller.policies, wish);
    if (verdict === "allowed") continue;
    const resource = wish.resource === "*" ? "" : ` on resource: ${wish.resource}`;
    const reason = verdict === "explicit deny"
      ? "with an explicit deny in an identity-based policy"
      : `because no identity-based policy allows the ${wish.action} action`;
    const encoded = wish.resource === "*"
      ? ""
      : ` Encoded authorization failure message: ${btoa(JSON.stringify(wish))}`;
    throw new AwsError(
      "UnauthorizedOperation",
      `You are not authorized to perform this operation. User: ${caller.arn} is not authorized to perform: ${wish.action}${resource} ${reason}.${encoded}`,
      403,
    );
  }
}

function errorAnswer({ code, message, status }: AwsError, control: Control): Response {
  const error = toXml("Errors", { Error: { Code: code, Message: message } });
  const text = `<Response>${error}<RequestID>${crypto.randomUUID()}</RequestID></Response>`;
  const isThrottled = code === "RequestLimitExceeded" && control.retryAfterSeconds !== undefined;
  const headers = isThrottled ? { "retry-after": String(control.retryAfterSeconds) } : undefined;
  return xmlAnswer(text, control.now(), status, headers);
}
