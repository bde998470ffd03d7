import { assert, assertEquals, assertThrows } from "@std/assert";
import type { AwsVpcConfig } from "../../src/config/aws_schema.ts";
import { ConfigError } from "../../src/config/config_error.ts";
import { type NetworkReading, parseNetworkConfig } from "../../src/config/network.ts";
import { parseOptions } from "../../src/config/options.ts";
import type { Environment } from "../../src/config/parse_flags.ts";

function read(keys: object, argv: readonly string[] = [], environment: Environment = {}): NetworkReading {
  const outcome = parseOptions(argv, environment);
  if (outcome.kind !== "run") throw new Error(outcome.kind);
  const text = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "aws-vpc", ...keys } });
  return parseNetworkConfig(text, { source: "net-conf.json", overrides: outcome.options.backendOverrides });
}

function backendOf(...args: Parameters<typeof read>): AwsVpcConfig {
  const { backend } = read(...args).config;
  assert(backend.type === "aws-vpc");
  return backend;
}

const ID = "0123456789abcdef0";
const [RTB, ENI, SUBNET, SG] = ["rtb", "eni", "subnet", "sg"].map((kind) => `${kind}-${ID}`) as [
  string,
  string,
  string,
  string,
];

const DEFAULTS: AwsVpcConfig = {
  type: "aws-vpc",
  mtuBytes: undefined,
  routeTableIds: [],
  eni: { kind: "auto" },
  managed: { securityGroupIds: [], secondaryAddresses: 0, prefixes: 0 },
  turnsCheckOff: true,
  takesForeign: true,
  cleansBlackholes: true,
};

type Keys = Partial<Omit<AwsVpcConfig, "managed">> & { readonly managed?: Partial<AwsVpcConfig["managed"]> };

const right: readonly [file: object, config: Keys, why: string][] = [
  [{}, {}, "each key may be left out"],
  [{ RouteTableID: null, ENI: null, Cluster: null }, {}, "null says nothing"],
  [{ MTU: 9001 }, { mtuBytes: 9001 }, "a jumbo frame"],
  [{ RouteTableID: RTB }, { routeTableIds: [RTB] }, "flannel's text"],
  [
    { RouteTableID: [RTB, "rtb-12345678"] },
    { routeTableIds: [RTB, "rtb-12345678"] },
    "flannel's list, an old id too",
  ],
  [
    { RouteTableID: ` ${RTB} ,, rtb-12345678,` },
    { routeTableIds: [RTB, "rtb-12345678"] },
    "commas, as in a variable",
  ],
  [{ RouteTableID: [RTB, RTB] }, { routeTableIds: [RTB] }, "one that is named twice is one"],
  [{ routetableid: "auto" }, {}, "the subnet's own; keys are read in any case"],
  [{ RouteTableID: "" }, {}, "an empty variable"],
  [{ RouteTableID: [] }, {}, "an empty list"],
  [{ ENI: "auto" }, {}, "as if it were left out"],
  [{ ENI: "" }, {}, "an empty variable"],
  [{ ENI }, { eni: { kind: "id", id: ENI } }, "an id"],
  [{ ENI: "device-index=255" }, { eni: { kind: "device-index", deviceIndex: 255 } }, "a place"],
  [
    { ENI: "tag:pods=yes=no" },
    { eni: { kind: "tag", key: "pods", value: "yes=no" } },
    "the first = ends the key",
  ],
  [{ ENI: "tag:pods=" }, { eni: { kind: "tag", key: "pods", value: "" } }, "a tag may be empty"],
  [
    {
      ENI: "managed",
      ENISubnetID: SUBNET,
      ENISecurityGroups: [SG],
      ENISecondaryAddresses: 49,
      ENIPrefixes: 1,
    },
    {
      eni: { kind: "managed" },
      managed: { subnetId: SUBNET, securityGroupIds: [SG], secondaryAddresses: 49, prefixes: 1 },
    },
    "one that the agent makes, as it is told",
  ],
  [
    { ENISecurityGroups: `${SG},sg-12345678` },
    { managed: { securityGroupIds: [SG, "sg-12345678"] } },
    "with commas",
  ],
  [{ SourceDestCheck: "keep" }, { turnsCheckOff: false }, "it is off already"],
  [{ SourceDestCheck: "disable" }, {}, "what is done anyhow"],
  [{ RouteConflict: "fail" }, { takesForeign: false }, "another's route stays"],
  [{ RouteConflict: "replace" }, {}, "what is done anyhow"],
  [{ BlackholeCleanup: false }, { cleansBlackholes: false }, "others' routes stay"],
  [{ Cluster: "blue" }, { cluster: "blue" }, "whose it is"],
  [{ Cluster: "" }, {}, "an empty name is none"],
];

for (const [file, config, why] of right) {
  Deno.test(`Backend of type aws-vpc reads ${JSON.stringify(file)}: ${why}`, () => {
    const managed = { ...DEFAULTS.managed, ...config.managed };
    assertEquals(backendOf(file), { ...DEFAULTS, ...config, managed });
  });
}

const TABLES = "the id of a route table as rtb-0123456789abcdef0, a list of at most 50, or auto";
const GROUPS = "the ids of at most 16 security groups as sg-0123456789abcdef0";
const ENIS = "auto, managed, an id as eni-0123456789abcdef0, device-index=N or tag:KEY=VALUE";
const many = (kind: string, count: number) =>
  Array.from({ length: count }, (_, n) => `${kind}-${String(n).padStart(17, "0")}`);

const wrong: readonly [file: object, path: string, message: string][] = [
  [{ MTU: 100 }, "MTU", "must be 0 or 576 to 65535, is 100"],
  [{ RouteTableID: 5 }, "RouteTableID", `must be ${TABLES}, is 5`],
  [{ RouteTableID: "rtb-xyz" }, "RouteTableID", `must be ${TABLES}, is "rtb-xyz"`],
  [{ RouteTableID: `${RTB}0` }, "RouteTableID", `must be ${TABLES}, is "${RTB}0"`],
  [{ RouteTableID: [RTB, 5] }, "RouteTableID", `must be ${TABLES}, is ["${RTB}",5]`],
  [{ RouteTableID: [RTB, ENI] }, "RouteTableID", `must be ${TABLES}, is ["${RTB}","${ENI}"]`],
  [{ RouteTableID: ["auto"] }, "RouteTableID", `must be ${TABLES}, is ["auto"]`],
  [{ RouteTableID: { id: RTB } }, "RouteTableID", `must be ${TABLES}, is {"id":"${RTB}"}`],
  [
    { RouteTableID: many("rtb", 51) },
    "RouteTableID",
    `must be ${TABLES}, is ["rtb-00000000000000000","rtb-00000000000000001","rtb-000000…`,
  ],
  [{ ENI: "eth1" }, "ENI", `must be ${ENIS}, is "eth1"`],
  [{ ENI: 1 }, "ENI", `must be ${ENIS}, is 1`],
  [{ ENI: "eni-1" }, "ENI", `must be ${ENIS}, is "eni-1"`],
  [{ ENI: "device-index=256" }, "ENI", `must be ${ENIS}, is "device-index=256"`],
  [{ ENI: "device-index=-1" }, "ENI", `must be ${ENIS}, is "device-index=-1"`],
  [{ ENI: "tag:pods" }, "ENI", `must be ${ENIS}, is "tag:pods"`],
  [{ ENI: "tag:=yes" }, "ENI", `must be ${ENIS}, is "tag:=yes"`],
  [{ ENI: "Managed" }, "ENI", `must be ${ENIS}, is "Managed"`],
  [
    { ENISubnetID: "subnet" },
    "ENISubnetID",
    'must be the id of a subnet as subnet-0123456789abcdef0, is "subnet"',
  ],
  [{ ENISecurityGroups: "default" }, "ENISecurityGroups", `must be ${GROUPS}, is "default"`],
  [
    { ENISecurityGroups: many("sg", 17) },
    "ENISecurityGroups",
    `must be ${GROUPS}, is ["sg-00000000000000000","sg-00000000000000001","sg-000000000…`,
  ],
  [{ ENISecondaryAddresses: 50 }, "ENISecondaryAddresses", "must be 0 to 49, is 50"],
  [{ ENISecondaryAddresses: "5" }, "ENISecondaryAddresses", 'must be a number, 0 to 49, is "5"'],
  [{ ENIPrefixes: 1.5 }, "ENIPrefixes", "must be 0 to 49, is 1.5"],
  [{ SourceDestCheck: true }, "SourceDestCheck", "must be disable or keep, is true"],
  [{ SourceDestCheck: "off" }, "SourceDestCheck", 'must be disable or keep, is "off"'],
  [{ RouteConflict: "no" }, "RouteConflict", 'must be replace or fail, is "no"'],
  [{ BlackholeCleanup: "yes" }, "BlackholeCleanup", 'must be true or false, is "yes"'],
  [{ Cluster: 7 }, "Cluster", "must be text, is 7"],
];

for (const [file, path, message] of wrong) {
  Deno.test(`Backend of type aws-vpc refuses ${JSON.stringify(file).slice(0, 80)} in a sentence`, () => {
    const { faults } = assertThrows(() => backendOf(file), ConfigError);
    assertEquals(faults, [{ where: "net-conf.json", path: `Backend.${path}`, message }]);
  });
}

Deno.test("Backend of type aws-vpc names every fault at once", () => {
  const { faults } = assertThrows(() => backendOf({ ENI: 1, RouteConflict: 1, Cluster: 1 }), ConfigError);
  assertEquals(faults.map(({ path }) => path), ["Backend.ENI", "Backend.RouteConflict", "Backend.Cluster"]);
});

const OTHER = "rtb-12345678";
const laid: readonly [file: object, argv: string[], environment: Environment, config: Keys, why: string][] = [
  [{ RouteTableID: RTB }, [], { FLANNELD_AWS_ROUTE_TABLE_IDS: `${OTHER},${RTB}` }, {
    routeTableIds: [OTHER, RTB],
  }, "the variable is stronger than the file"],
  [
    {},
    [`-aws-route-table-ids=${RTB}`],
    { FLANNELD_AWS_ROUTE_TABLE_IDS: OTHER },
    { routeTableIds: [RTB] },
    "the flag is stronger",
  ],
  [{ RouteTableID: RTB }, ["-aws-route-table-ids=auto"], {}, {}, "a flag may undo the file"],
  [
    { ENI: "managed" },
    ["-aws-eni=device-index=1"],
    {},
    { eni: { kind: "device-index", deviceIndex: 1 } },
    "a flag with = in it",
  ],
  [
    {},
    [],
    { FLANNELD_AWS_ENI: "tag:pods=yes" },
    { eni: { kind: "tag", key: "pods", value: "yes" } },
    "a variable",
  ],
  [{}, ["-aws-source-dest-check=keep"], { FLANNELD_AWS_SOURCE_DEST_CHECK: "disable" }, {
    turnsCheckOff: false,
  }, "the flag is stronger"],
  [
    { RouteConflict: "replace" },
    [],
    { FLANNELD_AWS_ROUTE_CONFLICT: "fail" },
    { takesForeign: false },
    "a variable",
  ],
  [{}, ["-aws-blackhole-cleanup=false"], {}, { cleansBlackholes: false }, "a flag"],
  [{ BlackholeCleanup: false }, [], { FLANNELD_AWS_BLACKHOLE_CLEANUP: "true" }, {}, "a variable"],
  [
    { Cluster: "blue" },
    [`-backend-config={"ENI":"managed","ENISubnetID":"${SUBNET}"}`],
    {},
    {
      cluster: "blue",
      eni: { kind: "managed" },
      managed: { subnetId: SUBNET },
    },
    "an object is laid key by key",
  ],
];

for (const [file, argv, environment, config, why] of laid) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`\`${given}\` is laid over ${JSON.stringify(file)} of aws-vpc: ${why}`, () => {
    const managed = { ...DEFAULTS.managed, ...config.managed };
    assertEquals(backendOf(file, argv, environment), { ...DEFAULTS, ...config, managed });
  });
}

const faulty: readonly [argv: string[], environment: Environment, fault: string][] = [
  [["-aws-eni=eth1"], {}, `-aws-eni Backend.ENI must be ${ENIS}, is "eth1"`],
  [
    [],
    { FLANNELD_AWS_ROUTE_TABLE_IDS: "rtb" },
    `FLANNELD_AWS_ROUTE_TABLE_IDS Backend.RouteTableID must be ${TABLES}, is "rtb"`,
  ],
  [["-aws-route-conflict="], {}, '-aws-route-conflict Backend.RouteConflict must be replace or fail, is ""'],
];

for (const [argv, environment, fault] of faulty) {
  Deno.test(`a fault of aws-vpc names where it comes from: ${fault.split(" ")[0]}`, () => {
    const { faults } = assertThrows(() => read({}, argv, environment), ConfigError);
    assertEquals(faults.map(({ where, path, message }) => `${where} ${path} ${message}`), [fault]);
  });
}

Deno.test("flags of aws-vpc are for no other backend", () => {
  const outcome = parseOptions(["-aws-eni=managed"], {});
  assert(outcome.kind === "run");
  const text = JSON.stringify({ Network: "10.244.0.0/16", Backend: { Type: "host-gw" } });
  const { config } = parseNetworkConfig(text, {
    source: "net-conf.json",
    overrides: outcome.options.backendOverrides,
  });
  assertEquals(config.backend.type, "host-gw");
});

Deno.test("a key of aws-vpc that is mistyped is told, with what was meant", () => {
  assertEquals(read({ RouteTableIDs: RTB }).warnings, [
    "net-conf.json: Backend.RouteTableIDs is ignored: did you mean RouteTableID?",
  ]);
});
