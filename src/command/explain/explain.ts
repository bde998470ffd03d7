import { UsageError } from "../../config/usage_error.ts";
import { fileReason } from "../../file/file_reason.ts";
import { readText } from "../../file/read_text.ts";
import { Libc } from "../../linux/libc.ts";
import { printableIn, wholeLine } from "../../log/printable.ts";
import { type Address, familyOf, formatAddress, parseAddress } from "../../model/address.ts";
import { readSubnetEnv, type SubnetEnv } from "../../pods/subnet_env.ts";
import { MAX_SUBNET_FILE_BYTES } from "../../pods/subnet_file.ts";
import type { LeaseOf } from "../../status/lease_of.ts";
import { AgentDoorError, askAgent } from "../agent_door.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, readCommandWords } from "../command_flags.ts";
import { parseDuration } from "../status/duration.ts";
import { explanationJson, explanationLines, explanationOf, isBroken } from "./explanation.ts";
import type { RegistryWord } from "./facts.ts";
import { judgeChain } from "./judge.ts";
import { leaseOfSchema } from "./lease_schema.ts";
import type { LiveReport } from "./live_report.ts";
import { readFacts } from "./read_facts.ts";
import { EXPLAIN_USAGE } from "./usage.ts";

/** `loden explain`: what becomes of a packet to an address. */
export async function runExplain(args: readonly string[], { output, signal }: Place): Promise<number> {
  const asked = readCommandWords(args, EXPLAIN_USAGE);
  if (asked === undefined) {
    output.say(commandHelp(EXPLAIN_USAGE));
    return EXIT.done;
  }
  const [word, second] = asked.words;
  if (word === undefined || second !== undefined) {
    throw new UsageError("Cannot explain: name one address; see 'loden explain --help'");
  }
  const target = addressOf(word, "ADDRESS");
  const given = asked.values.get("from") as string | undefined;
  const from = given === undefined ? undefined : addressOf(given, "--from");
  if (from !== undefined && familyOf(from) !== familyOf(target)) {
    throw new UsageError(`Cannot explain: ${given} and ${word} are of two families`);
  }
  const live = asked.values.get("live") as string | undefined;
  const listenMs = live === undefined ? undefined : parseDuration("live", live);
  const subnetFilePath = asked.values.get("subnet-file") as string;
  const odd = oddText(target);
  if (odd !== undefined) throw new UsageError(`Cannot explain: ${word} is ${odd}`);
  if (from !== undefined && oddText(from) !== undefined) {
    throw new UsageError(`Cannot explain: ${given} is ${oddText(from)}`);
  }
  using libc = new Libc();
  if (libc.call.geteuid() !== 0) {
    throw new Error("Cannot look at this host: run it as root, as with sudo");
  }
  const env = readEnv(subnetFilePath);
  let registry = await askRegistry(subnetFilePath, target);
  // One packet may be lost on any network.
  if (isAnyLost(registry)) registry = await askRegistry(subnetFilePath, target);
  const question = { target, from, subnetFilePath, env, registry };
  const facts = readFacts(libc, question);
  if (from !== undefined && !facts.isFromPod && !facts.isFromOwn) {
    throw new UsageError(
      `Cannot explain: ${given} is no address of this host, nor one of its pods' subnet; explain it where it is`,
    );
  }
  let report: LiveReport | undefined;
  if (listenMs !== undefined) {
    const { probeLive } = await import("./live.ts");
    report = await probeLive(libc, facts, { pod: facts.pod, listenMs, signal });
  }
  const links = judgeChain(facts);
  const explanation = explanationOf(facts, links, report);
  output.say(
    asked.values.get("json") === true
      ? JSON.stringify(printableIn(explanationJson(explanation)), null, 2)
      : explanationLines(explanation).map(wholeLine).join("\n"),
  );
  return isBroken(explanation) ? EXIT.failed : EXIT.done;
}

/** What is no one host's address; `undefined` for those that may be one's. */
function oddText(address: Address): string | undefined {
  if (address === 0 || address === 0n) return "no host's address";
  if (typeof address === "number") {
    if (address === 0xffff_ffff) return "the broadcast address, which no route leads to";
    return address >>> 28 === 0xe ? "a multicast address, which no route leads to one host" : undefined;
  }
  return address >> 120n === 0xffn ? "a multicast address, which no route leads to one host" : undefined;
}

function addressOf(text: string, what: string): Address {
  try {
    return parseAddress(text);
  } catch {
    throw new UsageError(
      `Cannot read ${what}: must be an IPv4 or IPv6 address, as 10.244.2.5, is ${JSON.stringify(text)}`,
    );
  }
}

function readEnv(path: string): SubnetEnv | undefined {
  try {
    return readSubnetEnv(readText(path, MAX_SUBNET_FILE_BYTES), path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw new Error(`Cannot read the subnet file ${path}: ${fileReason(error)}`, { cause: error });
  }
}

function isAnyLost(registry: RegistryWord): boolean {
  return registry.kind === "said" &&
    registry.lease?.probes?.some(({ roundTripMs }) => roundTripMs === null) === true;
}

async function askRegistry(subnetFilePath: string, target: Address): Promise<RegistryWord> {
  try {
    // It asks the other host by a probe before it answers.
    const raw = await askAgent(subnetFilePath, `/lease-of?address=${formatAddress(target)}`, {
      timeoutMs: 5000,
    });
    if (raw === undefined) return { kind: "silent", reason: "no agent answers" };
    const { data } = leaseOfSchema.safeParse(raw);
    if (data === undefined) return { kind: "silent", reason: "the agent is of another version" };
    if (!data.known) return { kind: "silent", reason: "the agent does not know yet who is in the overlay" };
    return { kind: "said", lease: data.lease satisfies LeaseOf | null ?? undefined };
  } catch (error) {
    if (!(error instanceof AgentDoorError)) throw error;
    return { kind: "silent", reason: error.message };
  }
}
