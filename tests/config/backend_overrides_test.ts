import { assert, assertEquals, assertThrows } from "@std/assert";
import { BACKEND_TYPES } from "../../src/config/backend_types.ts";
import fc from "fast-check";
import { ConfigError } from "../../src/config/config_error.ts";
import { type NetworkReading, parseNetworkConfig } from "../../src/config/network.ts";
import { parseOptions } from "../../src/config/options.ts";
import type { Environment } from "../../src/config/parse_flags.ts";
import { UsageError } from "../../src/config/usage_error.ts";

function read(backend: unknown, argv: readonly string[], environment: Environment = {}): NetworkReading {
  const outcome = parseOptions(argv, environment);
  if (outcome.kind !== "run") throw new Error(outcome.kind);
  const text = JSON.stringify({ Network: "10.244.0.0/16", Backend: backend });
  return parseNetworkConfig(text, { source: "net-conf.json", overrides: outcome.options.backendOverrides });
}

type Backend = Partial<NetworkReading["config"]["backend"]>;

const vxlan = (keys: object) => ({ Type: "vxlan", ...keys });

const laid: [file: unknown, argv: string[], environment: Environment, backend: Backend, why: string][] = [
  [vxlan({ VNI: 2 }), ["-vxlan-vni=4"], { FLANNELD_VXLAN_VNI: "3" }, { vni: 4 }, "the flag is strongest"],
  [vxlan({ VNI: 2 }), [], { FLANNELD_VXLAN_VNI: "3" }, { vni: 3 }, "the variable is stronger than the file"],
  [vxlan({ vni: 2 }), ["-vxlan-port=5"], {}, { vni: 2, port: 5 }, "keys are laid one by one"],
  [vxlan({ Port: 5 }), ["-vxlan-port=0"], {}, { port: 8472 }, "zero is a value"],
  [vxlan({ GBP: true }), ["-vxlan-gbp=false"], {}, { gbp: false }, "false is a value"],
  [
    vxlan({}),
    ["-vxlan-learning", "-vxlan-direct-routing"],
    {},
    { learning: true, directRouting: true },
    "both",
  ],
  [vxlan({ MTU: 1400 }), ["-mtu=1300"], {}, { mtuBytes: 1300 }, "any backend has an MTU"],
  [
    vxlan({ MTU: 1400 }),
    ["-mtu=0"],
    { FLANNELD_MTU: "1300" },
    { mtuBytes: 1400 },
    "-mtu=0 leaves it to the file",
  ],
  [
    vxlan({ VNI: 2, Port: 5 }),
    ['-backend-config={"vni":3}'],
    {},
    { vni: 3, port: 5 },
    "an object is laid by key",
  ],
  [vxlan({}), ['-backend-config={"VNI":3}', "-vxlan-vni=4"], {}, { vni: 4 }, "a key's own flag is stronger"],
  [
    vxlan({}),
    ['-backend-config={"VNI":3}'],
    { FLANNELD_VXLAN_VNI: "4" },
    { vni: 3 },
    "any flag is stronger than any variable",
  ],
  [vxlan({ VNI: 2 }), ["-backend=VXLAN"], {}, { vni: 2 }, "the same type keeps the file's keys"],
  [{ Type: "host-gw", VNI: 2 }, ["-backend=vxlan"], {}, { vni: 1 }, "another type discards them"],
  [{ Type: "udp", Port: -1 }, ["-backend=vxlan"], {}, { port: 8472 }, "also where they are wrong"],
  [
    { Type: "udp", Port: 1 },
    ['-backend-config={"type":"vxlan","VNI":9}'],
    {},
    { vni: 9, port: 8472 },
    "Type too",
  ],
  [{ VNI: 2 }, ["-backend=vxlan"], {}, { vni: 2 }, "a file without a type gets one"],
  [
    undefined,
    [],
    { FLANNELD_BACKEND: "vxlan", FLANNELD_BACKEND_CONFIG: '{"VNI":7}' },
    { vni: 7 },
    "no file needed",
  ],
  [vxlan({ VNI: 2 }), ["-backend=", "-backend-config="], {}, { vni: 2 }, "nothing is asked"],
  [vxlan({ VNI: 2 }), ['-backend-config={"VNI":null}'], {}, { vni: 2 }, "null says nothing"],
  [{ Type: "auto" }, ["-vxlan-vni=9"], {}, { type: "auto", vni: 9 }, "auto has a VTEP too"],
  [
    { Type: "auto" },
    ["-vxlan-direct-routing=false"],
    {},
    { directRouting: true },
    "auto has no choice, and a manifest is for both",
  ],
  [{ Type: "host-gw" }, ["-vxlan-vni=9", "-mtu=1400"], {}, { type: "host-gw", mtuBytes: 1400 }, "no VTEP"],
];

for (const [file, argv, environment, backend, why] of laid) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`backendOverrides() lays \`${given}\` over ${JSON.stringify(file)}: ${why}`, () => {
    const found = read(file, argv, environment).config.backend;
    for (const [key, value] of Object.entries(backend)) {
      assertEquals(found[key as keyof typeof found] as unknown, value);
    }
  });
}

Deno.test("parseNetworkConfig() says that another type discards the file's Backend", () => {
  assertEquals(read({ Type: "host-gw" }, [], { FLANNELD_BACKEND: "vxlan" }).warnings, [
    'net-conf.json: Backend of type "host-gw" is discarded: FLANNELD_BACKEND asks for vxlan; hosts with another ' +
    "backend are not reached",
  ]);
});

const refused: [argv: string[], environment: Environment, message: string, why: string][] = [
  [
    ["-backend=vxlam"],
    {},
    `Cannot use -backend: must be one of ${BACKEND_TYPES.join(", ")}, is "vxlam"`,
    "there is none",
  ],
  [
    [],
    { FLANNELD_BACKEND: "wireguard" },
    'FLANNELD_BACKEND: backend "wireguard" is not in this version',
    "later",
  ],
  [
    ["-backend-config=[1]"],
    {},
    'Cannot read -backend-config: must be a JSON object, as {"VNI":1}',
    "it is a list",
  ],
  [
    ["-backend-config={VNI:1}"],
    {},
    "line 1 column 2: expected a key in double quotes",
    "a key has no quotes",
  ],
  [['-backend-config={"Type":5}'], {}, "Cannot use -backend-config: Type: must be text", "it is a number"],
  [
    [],
    { FLANNELD_BACKEND_CONFIG: "x" },
    "Cannot read FLANNELD_BACKEND_CONFIG: line 1 column 1",
    "it is not JSON",
  ],
  [["-vxlan-vni=0"], {}, "Cannot read -vxlan-vni: must be 1 to 16777215", "zero is none"],
];

for (const [argv, environment, message, why] of refused) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`backendOverrides() refuses \`${given}\` because ${why}`, () => {
    assertThrows(() => parseOptions(argv, environment), UsageError, message);
  });
}

Deno.test("parseNetworkConfig() names the flag or variable that a wrong key comes from", () => {
  const wrong = () =>
    read(vxlan({ VNI: -1, Port: -1 }), ["-mtu=100"], { FLANNELD_BACKEND_CONFIG: '{"vni":-2}' });
  assertEquals(assertThrows(wrong, ConfigError).faults.map(({ where, path }) => `${where} ${path}`), [
    "FLANNELD_BACKEND_CONFIG Backend.VNI",
    "net-conf.json Backend.Port",
    "-mtu Backend.MTU",
  ]);
});

Deno.test("backend keys come from the flag, else the variable, else the file, else the default, and say so", () => {
  const vni = fc.option(fc.integer({ min: 1, max: 0xff_ffff }), { nil: undefined });
  const layer = fc.record({ own: vni, object: vni });
  fc.assert(fc.property(layer, layer, vni, (flag, variable, file) => {
    const argv = [
      ...flag.own === undefined ? [] : [`-vxlan-vni=${flag.own}`],
      ...flag.object === undefined ? [] : [`-backend-config={"VNI":${flag.object}}`],
    ];
    const { config, origins } = read(vxlan({ VNI: file }), argv, {
      FLANNELD_VXLAN_VNI: variable.own?.toString(),
      // A flag replaces its variable as a whole.
      FLANNELD_BACKEND_CONFIG: variable.object === undefined ? "" : `{"VNI":${variable.object}}`,
    });
    const strongest = ([
      [flag.own, "-vxlan-vni"],
      [flag.object, "-backend-config"],
      [variable.own, "FLANNELD_VXLAN_VNI"],
      [variable.object, "FLANNELD_BACKEND_CONFIG"],
      [file, "net-conf.json"],
      [1, "default"],
    ] as const).find(([value]) => value !== undefined)!;
    assert(config.backend.type === "vxlan");
    assertEquals([config.backend.vni, origins.get("VNI")] as unknown, [...strongest]);
  }));
});
