import { assert, assertEquals } from "@std/assert";
import { SEED } from "../double/random.ts";
import { PluginWorld, SUBNET_ENV } from "./plugin_world.ts";

const ROUNDS = 100_000;
const VERBS = ["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "add"];
const CONF = JSON.stringify({
  name: "cbr0",
  cniVersion: "1.1.0",
  type: "flannel",
  subnetFile: "/s",
  delegate: { hairpinMode: true, type: "bridge", mtu: 1400 },
  ipam: {
    type: "host-local",
    routes: [{ dst: "10.0.0.0/8", gw: "10.1.17.1", mtu: 1 }],
    subnet: "10.1.0.0/24",
  },
  runtimeConfig: { mac: "02:00:00:00:00:01" },
  prevResult: { ips: [{ address: "10.1.17.2/24", gateway: "10.1.17.1" }], routes: [{ dst: "10.1.0.0/16" }] },
  "cni.dev/valid-attachments": [{ containerID: "c1", ifname: "eth0" }],
});
const VARIABLES = {
  CNI_CONTAINERID: "c1",
  CNI_NETNS: "/run/netns/pod",
  CNI_IFNAME: "eth0",
  CNI_PATH: "/opt/cni/bin:/usr/lib/cni",
  CNI_NETNS_OVERRIDE: "1",
  FLANNEL_CNI_SUBNET_FILE: "/run/flannel/subnet.env",
  FLANNEL_CNI_BACKEND: "vxlan",
  FLANNEL_CNI_DELEGATE_TYPE: "bridge",
  FLANNEL_CNI_MTU: "1400",
  FLANNEL_CNI_IP_MASQ: "true",
  FLANNEL_CNI_LOG_LEVEL: "debug",
};
/** What hurts readers: ends of strings, numbers and structures, other tongues' zeros, what objects have by birth. */
const SPLINTERS = [
  '"',
  "\\",
  "{",
  "}",
  "[",
  "]",
  ",",
  ":",
  "=",
  "/",
  "@",
  "..",
  "\n",
  "\r\n",
  "\0",
  "\u2028",
  "\ud800",
  "é",
  "-1",
  "1e999",
  "99999999999999999999",
  "null",
  "true",
  '"__proto__"',
  '"constructor"',
  "0x10",
  "%s",
  " ",
  "\t",
  "[".repeat(200),
];

/** Mulberry32: small, and enough to choose by. */
function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = state + 0x6d2b79f5 >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) % below;
  };
}

/** Text with some damage: cut, repeated, replaced, spliced. */
function damaged(text: string, random: (below: number) => number): string {
  let result = text;
  for (let count = random(4); count > 0; count--) {
    const at = random(result.length + 1);
    const length = random(12);
    const splinter = SPLINTERS[random(SPLINTERS.length)]!;
    switch (random(4)) {
      case 0:
        result = result.slice(0, at) + splinter + result.slice(at);
        break;
      case 1:
        result = result.slice(0, at) + result.slice(at + length);
        break;
      case 2:
        result = result.slice(0, at) + splinter + result.slice(at + length);
        break;
      default:
        result = result.slice(0, at) + result.slice(Math.max(0, at - length));
    }
  }
  return result;
}

Deno.test(`${ROUNDS} damaged inputs, environments and subnet files are answered by a result or a CNI error`, async () => {
  await using world = await PluginWorld.create();
  const random = randomOf(SEED);
  const codes = new Set<number>();
  let succeeded = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const verb = VERBS[random(VERBS.length)]!;
    const input = random(3) === 0 ? CONF : damaged(CONF, random);
    const variables: Record<string, string | undefined> = { FLANNEL_CNI_DATA_DIR: world.dataDir };
    for (const [name, value] of Object.entries(VARIABLES)) {
      const fate = random(12);
      if (fate > 1) variables[name] = value;
      else if (fate === 1) variables[name] = damaged(value, random);
    }
    world.subnetEnv = random(3) === 0 ? SUBNET_ENV : damaged(SUBNET_ENV, random);
    world.calls.length = 0;
    const where = () =>
      `LODEN_SEED=${SEED}, round ${round}: ${
        JSON.stringify({ verb, variables, input, env: world.subnetEnv })
      }`;
    try {
      const { exitCode, stdout, error } = await world.run(verb, input, variables);
      if (exitCode === 0) succeeded++;
      else {
        assertEquals(
          Object.keys(error).filter((key) => !["cniVersion", "code", "msg", "details"].includes(key)),
          [],
        );
        assert(Number.isInteger(error.code) && error.code > 0 && error.msg.length > 0);
        // What nobody thought of would be 999 with the words of the language.
        assert(
          !/undefined|is not a function|Cannot read propert|Invalid|Maximum call/.test(error.msg),
          error.msg,
        );
        codes.add(error.code);
      }
      if (stdout !== "") JSON.parse(stdout);
      for (const { type, config } of world.calls) {
        assert(!type.includes("/") && type !== "");
        JSON.parse(config);
      }
    } catch (error) {
      throw new Error(where(), { cause: error });
    }
  }
  // The damage must not be so large that nothing deep is reached, nor so small that nothing breaks.
  assert(succeeded > ROUNDS / 10, `${succeeded} succeeded`);
  for (const code of [1, 4, 6, 7, 50, 100]) {
    assert(codes.has(code), `no error ${code} in ${[...codes].join()}`);
  }
});
