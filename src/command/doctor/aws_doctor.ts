import { readConfigFile } from "../../agent/network_config.ts";
import type { Finding } from "../../cloud/aws/examine.ts";
import { type Options, parseOptions } from "../../config/options.ts";
import type { NetworkConfig } from "../../config/network.ts";
import { Libc } from "../../linux/libc.ts";
import { errorText } from "../../log/error_text.ts";
import { SILENT } from "../../log/log.ts";
import type { Address } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { observeHostNetwork } from "../../overlay/underlay/host_network.ts";
import { weighUnderlay } from "../../overlay/underlay/underlay.ts";
import { commandHelp } from "../command_flags.ts";
import { DOCTOR_USAGE, type DoctorDeps } from "./usage.ts";

const MARKS: Readonly<Record<Finding["verdict"], string>> = { ok: "ok   ", wrong: "WRONG", unknown: "?    " };

/**
 * Looks at what the agent needs of AWS, and says what is wrong; changes nothing.
 *
 * @returns Whether nothing is.
 */
export async function runAwsDoctor(
  agentArgs: readonly string[],
  { environment, print }: DoctorDeps,
  { signal }: { readonly signal: AbortSignal },
): Promise<boolean> {
  const outcome = parseOptions(agentArgs, environment);
  if (outcome.kind !== "run") {
    print(commandHelp(DOCTOR_USAGE));
    return true;
  }
  const { config } = readConfigFile(outcome.options, SILENT);
  const { backend, families } = config;
  if (backend.type !== "aws-vpc") {
    throw new Error(
      `Cannot look at AWS: the backend is ${backend.type}; name aws-vpc, as with -backend=aws-vpc`,
    );
  }
  const { openDoctor } = await import("../../cloud/aws/open_doctor.ts");
  const findings = openDoctor({
    config: backend,
    networks: families.map(({ network, subnetLength }) => ({ network, subnetLength })),
    underlay: backend.eni.kind === "auto" ? underlayOf(outcome.options, config) : [],
    environment,
  }, { signal });
  let isWell = true;
  for (;;) {
    const { done, value } = await nextOrWrong(findings, signal);
    if (done) {
      if (value === undefined) return false;
      const tag = `flannel.io/cluster=${backend.cluster ?? "CLUSTER"}`;
      print(`\nThe smallest policy for the role of this host; it is for what has the tag ${tag}:\n${value}`);
      return isWell;
    }
    if (value.verdict === "wrong") isWell = false;
    print(`${MARKS[value.verdict]} ${value.text}`);
  }
}

/** What ends the look is the last finding. */
async function nextOrWrong(
  findings: AsyncGenerator<Finding, string>,
  signal: AbortSignal,
): Promise<IteratorResult<Finding, string | undefined>> {
  try {
    return await findings.next();
  } catch (error) {
    signal.throwIfAborted();
    throw new Error(`Cannot look further: ${errorText(error)}`, { cause: error });
  }
}

/** The addresses that the agent would choose for the underlay. */
function underlayOf(options: Options, config: NetworkConfig): readonly Address[] {
  using libc = new Libc();
  using transport = NetlinkSocket.open(libc);
  const network = observeHostNetwork(new NetlinkClient(transport));
  const { underlay } = weighUnderlay(network, {
    ...options,
    networks: config.families.map(({ network }) => network),
    vtepNames: [],
    nodeAddresses: [],
    families: config.families.map(({ family }) => family),
  }, {});
  return underlay.addresses.map(({ address }) => address);
}
