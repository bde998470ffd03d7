import { runDoctor } from "../../../src/command/doctor/doctor.ts";
import { AwsRig } from "../../cloud/aws/aws_rig.ts";
import { setVariables } from "../../double/aws/process_env.ts";
import type { PolicyDocument } from "../../double/aws/policy.ts";
import type { Instance, NetworkInterface } from "../../double/aws/resources.ts";

const TAGS = { "flannel.io/cluster": "blue" };

/** An instance on which the doctor is run, in this process. */
export class DoctorRig implements AsyncDisposable {
  readonly rig = new AwsRig();
  readonly instance: Instance;
  readonly eni: NetworkInterface;
  readonly imds: ReturnType<AwsRig["aws"]["openImds"]>;
  readonly #folder = Deno.makeTempDirSync({ prefix: "loden-doctor-" });

  constructor() {
    const { aws, subnetIds, vpcId } = this.rig;
    const { cloud } = aws;
    const { instance, eni } = cloud.runInstance(subnetIds[0], { role: "node", tags: TAGS, isIpv6: true });
    eni.tags = TAGS;
    eni.sourceDestCheck = false;
    [this.instance, this.eni] = [instance, eni];
    this.imds = aws.openImds(instance.id);
    const [group] = [...cloud.securityGroups.values()].filter((group) => group.vpcId === vpcId);
    group!.rules.push({ id: "sgr-1", isEgress: false, protocol: "-1", peer: "10.0.0.0/8" });
  }

  /** The variables of this host. */
  get environment(): Record<string, string> {
    const { aws } = this.rig;
    return {
      ...aws.env(aws.identities.issue("node", this.instance.id, 3600)),
      AWS_EC2_METADATA_SERVICE_ENDPOINT: this.imds.url,
      AWS_MAX_ATTEMPTS: "1",
    };
  }

  /** Runs the doctor; what it printed, and whether it found nothing wrong. */
  async run(
    keys: Record<string, unknown> = {},
    { args = ["--aws"], environment = {} }: {
      readonly args?: readonly string[];
      readonly environment?: Readonly<Record<string, string | undefined>>;
    } = {},
  ): Promise<{ readonly isWell: boolean; readonly text: string }> {
    const path = `${this.#folder}/net-conf.json`;
    const Backend = { Type: "aws-vpc", Cluster: "blue", ENI: "device-index=0", ...keys };
    await Deno.writeTextFile(path, JSON.stringify({ Network: "10.244.0.0/16", Backend }));
    const variables = { ...this.environment, ...environment };
    using _variables = setVariables(variables);
    const lines: string[] = [];
    const deps = { environment: variables, print: (line: string) => void lines.push(line) };
    const isWell = await runDoctor([...args, `-net-config-path=${path}`], deps, {
      signal: AbortSignal.timeout(30_000),
    });
    return { isWell, text: lines.join("\n") };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.rig[Symbol.asyncDispose]();
    await Deno.remove(this.#folder, { recursive: true });
  }
}

/** The policy at the end of what the doctor printed. */
export function printedPolicy(text: string): PolicyDocument {
  return JSON.parse(text.slice(text.indexOf("\n{")));
}
