import { examine } from "../../src/path/examine.ts";
import { PERIOD_MS, TURN_MS } from "../../src/path/path_prober.ts";
import { ringOf, roundPeriods, sample, sampleSize } from "../../src/path/sampler.ts";
import { pause } from "../../src/loop/pause.ts";
import { seededRandom } from "../double/random.ts";

/** What a probe may take where the round trip is known to be short. */
const TIMEOUT_MS = 250;
const ROUND_TRIP_MS = 1;
/** The probes a second that a host has unless told. */
const BUDGET = 3;
const TURNS = PERIOD_MS / TURN_MS;
const TRIALS = 400;

/** A fault, as probes meet it. */
interface Fault {
  readonly name: string;
  /** Whether a probe of full size is lost. Host 0 is the bad one; a bad path is from 0 to 1. */
  readonly isLost: (from: number, to: number) => boolean;
  /** Whether a probe of a size is lost while the path is examined. */
  readonly isLostAt: (packetBytes: number) => boolean;
}

const FAULTS: readonly Fault[] = [
  {
    name: "one path, one way",
    isLost: (from, to) => from + to === 1,
    isLostAt: () => true,
  },
  { name: "one host", isLost: (from, to) => from === 0 || to === 0, isLostAt: () => true },
  {
    name: "one host's MTU",
    isLost: (from, to) => from === 0 || to === 0,
    isLostAt: (packetBytes) => packetBytes > 1380,
  },
];

/** Figures of a fault among some hosts, until a first host has its verdict, over many beginnings. */
export interface SamplerFigures extends Record<string, string | number> {
  readonly hosts: string;
  readonly fault: string;
  readonly "probes a second": number;
  readonly "median s": number;
  readonly "p95 s": number;
  readonly "max s": number;
  readonly "each pair within s": number;
}

/** Simulates the sampler with its real code, and lets the real examination take its time once. */
export async function simulateSampler(hosts: number): Promise<SamplerFigures[]> {
  const ring = ringOf(Array.from({ length: hosts }, (_, at) => `node-${at}`));
  const size = sampleSize(hosts, BUDGET * PERIOD_MS / 1000);
  const figures: SamplerFigures[] = [];
  for (const fault of FAULTS) {
    const verdictMs = await examinationMs(fault);
    const times = Array.from(
      { length: TRIALS },
      (_, seed) =>
        (firstLossMs(ring, size, { fault, random: seededRandom(seed + 1) }) + TIMEOUT_MS + verdictMs) / 1000,
    ).sort((a, b) => a - b);
    const at = (share: number) => times[Math.min(Math.floor(share * TRIALS), TRIALS - 1)]!.toFixed(1);
    figures.push({
      hosts: hosts.toLocaleString("en"),
      fault: fault.name,
      "probes a second": size * 1000 / PERIOD_MS,
      "median s": Number(at(0.5)),
      "p95 s": Number(at(0.95)),
      "max s": Number(at(1)),
      "each pair within s": roundPeriods(hosts, size) * PERIOD_MS / 1000,
    });
  }
  return figures;
}

/** How long an examination of the fault takes, in real time. */
async function examinationMs({ isLostAt }: Fault): Promise<number> {
  const startMs = performance.now();
  await examine({
    ask: async ({ network, packetBytes }) => {
      const isLost = network === "overlay" && isLostAt(packetBytes);
      await pause(isLost ? TIMEOUT_MS : ROUND_TRIP_MS);
      return isLost ? undefined : { isDamagedThere: false, isDamagedBack: false, hearsOverlay: false };
    },
    expected: { overlay: 1450, underlay: 1500 },
    leastBytes: 64,
    isHeard: () => true,
    askKernel: async (network) => {
      if (network === "overlay") await pause(TIMEOUT_MS);
      return network === "underlay";
    },
    foundBefore: () => undefined,
  });
  return performance.now() - startMs;
}

/** From a moment of chance until a first probe of any host is sent that is lost. Each host has its turns at its own moment. */
function firstLossMs(
  ring: readonly string[],
  size: number,
  { fault, random }: { readonly fault: Fault; readonly random: () => number },
): number {
  const numberOf = (name: string) => Number(name.slice("node-".length));
  // Of a bad host all paths are bad, so that each host may be the first to ask; else only the two ends are.
  const askers = ring.filter((name) =>
    fault.isLost(numberOf(name), 0) || fault.isLost(numberOf(name), 1) || numberOf(name) === 0
  );
  const offsets = new Map(askers.map((name) => [name, random() * TURN_MS]));
  const startMs = 1e9 + random() * 1e9;
  let first = Infinity;
  const begin = Math.floor(startMs / TURN_MS);
  for (let turn = begin; turn - begin < 1e5; turn++) {
    const period = Math.floor(turn / TURNS);
    for (const own of askers) {
      const atMs = turn * TURN_MS + offsets.get(own)!;
      if (atMs < startMs || atMs >= first) continue;
      const chosen = sample(ring, own, { period, size }).filter((_, at) => at % TURNS === turn % TURNS);
      if (chosen.some((host) => fault.isLost(numberOf(own), numberOf(host)))) first = atMs;
    }
    if (first < (turn + 1) * TURN_MS) break;
  }
  return first - startMs;
}
