import { faultAnswer } from "./answer.ts";
import { AwsError } from "./aws_error.ts";
import type { Call, Control } from "./control.ts";
import { toSeconds } from "./fake_imds.ts";
import type { Identities } from "./identities.ts";

/** What the endpoint works on. */
export interface ContainerDeps {
  readonly identities: Identities;
  readonly control: Control;
  readonly role: string;
  /** What must stand in `Authorization`, now: it may turn. */
  readonly token: () => string;
  readonly lifeSeconds: number;
  readonly closing: AbortSignal;
}

/** The endpoint of ECS and of the EKS Pod Identity agent: answers one request with credentials of the role. */
export async function containerCredentials(request: Request, deps: ContainerDeps): Promise<Response> {
  const { control, identities, role } = deps;
  const action = `${request.method} ${new URL(request.url).pathname}`;
  const call: Call = {
    service: "container",
    action,
    caller: "",
    isDryRun: false,
    query: undefined,
    result: "ok",
  };
  control.calls.push(call);
  const fault = control.takeFault(call);
  if (fault !== undefined && fault !== "throttle" && !(fault instanceof AwsError)) {
    return await faultAnswer(fault, deps.closing);
  }
  const refused = (status: number, message: string) => {
    call.result = String(status);
    return Response.json({ code: "AccessDenied", message }, { status });
  };
  if (fault instanceof AwsError) return refused(fault.status, fault.message);
  if (fault === "throttle") return refused(429, "Too many requests");
  if (request.headers.get("authorization") !== deps.token()) return refused(401, "Unauthorized");
  const credentials = identities.issue(role, "container", deps.lifeSeconds);
  return Response.json({
    AccessKeyId: credentials.accessKeyId,
    SecretAccessKey: credentials.secretAccessKey,
    Token: credentials.sessionToken,
    Expiration: toSeconds(credentials.expiresAt),
    RoleArn: identities.roleArn(role),
  });
}
