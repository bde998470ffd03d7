import { fileReason } from "../../file/file_reason.ts";
import { readText } from "../../file/read_text.ts";
import { type ClaimHolder, holderOf } from "../../linux/unix_claim.ts";
import type { Libc } from "../../linux/libc.ts";
import { errorText } from "../../log/error_text.ts";
import { formatPrefix } from "../../model/address.ts";
import { NetlinkClient } from "../../netlink/client.ts";
import { NetlinkSocket } from "../../netlink/socket.ts";
import { type AgentState, agentStatePath, readAgentState } from "../../pods/agent_state.ts";
import { isAgentLockHeld } from "../../pods/agent_lock.ts";
import { readSubnetEnv, type SubnetEnv } from "../../pods/subnet_env.ts";
import { MAX_SUBNET_FILE_BYTES } from "../../pods/subnet_file.ts";
import { judgeKernel } from "./kernel_judge.ts";
import { type KernelState, readKernelState } from "./kernel_state.ts";

/** How the claim of a network begins, as agents make it (`agent/agent_claim.ts`). */
const NETWORK_CLAIM = "loden/network/";

/** What of this host can be known without an agent. */
export interface LocalFacts {
  readonly at: Date;
  readonly subnetFilePath: string;
  readonly env: SubnetEnv | undefined;
  /** Why the subnet file says nothing; `undefined` where it does. */
  readonly envFault: string | undefined;
  /** What the last agent said of itself. */
  readonly said: AgentState | undefined;
  /** Whether a process shows that it is the agent of this subnet file. */
  readonly isLockHeld: boolean;
  /** Who has this host's network: an agent, whatever its subnet file is. */
  readonly holder: ClaimHolder | undefined;
  readonly kernel: KernelState | undefined;
  /** Why the kernel says nothing; `undefined` where it does. */
  readonly kernelFault: string | undefined;
  /** What is visibly wrong with the data path, one sentence each. */
  readonly faults: readonly string[];
}

/** Reads what stands beside the subnet file and in the kernel. Never throws: what can't be read is named. */
export function readLocalFacts(subnetFilePath: string, libc: Libc): LocalFacts {
  const { env, envFault } = readEnv(subnetFilePath);
  const { kernel, kernelFault } = readKernel(libc);
  return {
    at: new Date(),
    subnetFilePath,
    env,
    envFault,
    said: readAgentState(agentStatePath(subnetFilePath)),
    isLockHeld: isAgentLockHeld(subnetFilePath),
    holder: holderOfNetwork(env, libc),
    kernel,
    kernelFault,
    faults: kernel === undefined ? [] : judgeKernel(kernel, env),
  };
}

function readEnv(path: string): Pick<LocalFacts, "env" | "envFault"> {
  try {
    return { env: readSubnetEnv(readText(path, MAX_SUBNET_FILE_BYTES), path), envFault: undefined };
  } catch (error) {
    const isThere = !(error instanceof Deno.errors.NotFound);
    const envFault = isThere
      ? fileReason(error)
      : "there is none: this host has had no agent since it booted";
    return { env: undefined, envFault };
  }
}

function readKernel(libc: Libc): Pick<LocalFacts, "kernel" | "kernelFault"> {
  try {
    using transport = NetlinkSocket.open(libc);
    return { kernel: readKernelState(new NetlinkClient(transport)), kernelFault: undefined };
  } catch (error) {
    return { kernel: undefined, kernelFault: errorText(error) };
  }
}

function holderOfNetwork(env: SubnetEnv | undefined, libc: Libc): ClaimHolder | undefined {
  for (const network of env?.networks ?? []) {
    try {
      const holder = holderOf(libc, NETWORK_CLAIM + formatPrefix(network));
      // Any user can take a name, and only root may program the network.
      if (holder?.uid === 0) return holder;
    } catch {
      // Then it is not known.
    }
  }
  return undefined;
}
