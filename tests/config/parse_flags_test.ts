import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { Flag, FlagValue } from "../../src/config/flag.ts";
import { type Environment, type FlagReading, readFlags } from "../../src/config/parse_flags.ts";
import { UsageError } from "../../src/config/usage_error.ts";

const group = "Underlay";
const TABLE: readonly Flag[] = [
  { name: "iface", kind: "list", group, default: [], help: "" },
  { name: "public-ip", kind: "string", group, default: "", help: "" },
  { name: "ip-masq", kind: "boolean", group, default: false, help: "" },
  { name: "forward", kind: "boolean", group, default: true, help: "" },
  { name: "healthz-port", kind: "integer", group, default: 7, help: "" },
  { name: "margin", kind: "integer", group, default: 60, range: [1, 1439], help: "" },
  { name: "vni", kind: "integer", group, range: [1, 100], isNew: true, help: "" },
  { name: "format", kind: "string", group, default: "auto", words: ["auto", "json"], isNew: true, help: "" },
  { name: "file", kind: "string", group, default: "/f", isRequired: true, help: "" },
  { name: "log_backtrace_at", kind: "string", group, default: "", help: "" },
  { name: "version", kind: "boolean", group, default: false, help: "" },
];

function read(argv: readonly string[], environment: Environment = {}): FlagReading {
  const outcome = readFlags(argv, environment, TABLE);
  if (outcome.kind !== "values") throw new Error(outcome.kind);
  return outcome.reading;
}

const spelled: [argv: string[], name: string, value: FlagValue, why: string][] = [
  [["-iface=eth0"], "iface", ["eth0"], "one dash is enough"],
  [["--iface=eth0"], "iface", ["eth0"], "two dashes are the same"],
  [["--iface", "eth0"], "iface", ["eth0"], "the value may be the next word"],
  [["-iface", "-ip-masq"], "iface", ["-ip-masq"], "the next word is the value, whatever it is"],
  [["-iface=a", "--iface", "b", "-iface="], "iface", ["a", "b", ""], "a list grows"],
  [["-iface=a=b"], "iface", ["a=b"], "the first = ends the name"],
  [["-public-ip=1", "-public-ip=2"], "public-ip", "2", "the last scalar wins"],
  [["-ip-masq"], "ip-masq", true, "a boolean needs no value"],
  [["-ip-masq=F"], "ip-masq", false, "a boolean word of Go"],
  [["-ip-masq", "-ip-masq=0"], "ip-masq", false, "a later one turns it off"],
  [["-ip-masq", "false", "-healthz-port=1"], "healthz-port", 7, "flags end at the first other word"],
  [["--", "-healthz-port=1"], "healthz-port", 7, "flags end at two dashes"],
  [["-", "-healthz-port=1"], "healthz-port", 7, "a dash alone is a word"],
  [["-healthz-port=0x1F"], "healthz-port", 31, "an integer may be hexadecimal"],
  [["-healthz-port=0b1_01"], "healthz-port", 5, "or binary, with underscores"],
  [["-healthz-port=0o17"], "healthz-port", 15, "or octal"],
  [["-healthz-port=017"], "healthz-port", 15, "or octal as in C"],
  [["-healthz-port=0_7"], "healthz-port", 7, "the leading zero may end with an underscore"],
  [["-healthz-port=1_000"], "healthz-port", 1000, "underscores part digits"],
  [["-healthz-port=-3"], "healthz-port", -3, "an integer has a sign"],
  [["-healthz-port=+3"], "healthz-port", 3, "also the other one"],
  [["-healthz-port=-0"], "healthz-port", 0, "minus zero is zero"],
  [["-healthz-port", "-3"], "healthz-port", -3, "a negative number is a next word too"],
  [["-log_backtrace_at=a:1"], "log_backtrace_at", "a:1", "one name of flannel has underscores"],
];

for (const [argv, name, value, why] of spelled) {
  Deno.test(`readFlags() reads \`${argv.join(" ")}\` as ${name} ${JSON.stringify(value)}: ${why}`, () => {
    assertEquals(read(argv).values.get(name), value);
  });
}

const refused: [argv: string[], environment: Environment, message: string, why: string][] = [
  [
    ["-bogus"],
    {},
    "Cannot read flag -bogus: there is no such flag; -help lists all flags",
    "nothing is near",
  ],
  [
    ["-ifce=a"],
    {},
    "Cannot read flag -ifce: there is no such flag; did you mean -iface?",
    "something is near",
  ],
  [["-IFACE=a"], {}, "did you mean -iface?", "flags are lower case"],
  [["---iface"], {}, "Cannot read flag ---iface: a name must follow the dashes", "three dashes are too many"],
  [["-=a"], {}, "Cannot read flag -=a: a name must follow the dashes", "the name is empty"],
  [["-iface"], {}, "Cannot read -iface: it needs a value, as -iface=VALUE", "no word follows"],
  [["-ip-masq=yes"], {}, 'Cannot read -ip-masq: must be true or false, is "yes"', "Go has no such word"],
  [
    ["-healthz-port=abc"],
    {},
    'Cannot read -healthz-port: must be an integer, is "abc"',
    "it is not a number",
  ],
  [["-healthz-port="], {}, 'must be an integer, is ""', "nothing is not a number"],
  [["-healthz-port=08"], {}, "must be an integer", "8 is not an octal digit"],
  [["-healthz-port=1__0"], {}, "must be an integer", "underscores don't double"],
  [["-healthz-port=_1"], {}, "must be an integer", "nor lead"],
  [["-healthz-port=1.5"], {}, "must be an integer", "it has a fraction"],
  [["-healthz-port=99999999999999999999"], {}, "must be -9007199254740991 to", "it is not exact"],
  [["-margin=0"], {}, 'Cannot read -margin: must be 1 to 1439, is "0"', "it is below the range"],
  [["-margin=abc", "-margin=5"], {}, "must be an integer", "a later value does not repair an earlier one"],
  [["-file="], {}, "Cannot read -file: must not be empty", "a path is needed"],
  [["-format=xml"], {}, 'Cannot read -format: must be one of auto, json, is "xml"', "there is no such word"],
  [
    [],
    { FLANNELD_VNI: "abc" },
    'Cannot read FLANNELD_VNI: must be an integer, is "abc"',
    "a new variable is strict",
  ],
  [[], { FLANNELD_MARGIN: "0" }, "Cannot read FLANNELD_MARGIN: must be 1 to 1439", "flannel exits on it too"],
];

for (const [argv, environment, message, why] of refused) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`readFlags() refuses \`${given}\` because ${why}`, () => {
    const error = assertThrows(() => read(argv, environment), UsageError, "");
    // Where only a part is named, the rest is said elsewhere in this table.
    assertEquals(error.message.includes(message.replace("-9007199254740991 to", "")), true, error.message);
  });
}

const warned: [argv: string[], environment: Environment, warnings: string[], why: string][] = [
  [[], { FLANNELD_HEALTHZ_PORT: "x" }, [
    'Cannot read FLANNELD_HEALTHZ_PORT: must be an integer, is "x"; it is ignored',
  ], "flannel goes on"],
  [[], { FLANNELD_IFCE: "eth0" }, ["FLANNELD_IFCE is ignored: did you mean FLANNELD_IFACE?"], "it is a typo"],
  [[], { FLANNELD_SERVICE_HOST: "10.0.0.1", PATH: "/bin" }, [], "Kubernetes makes such variables"],
  [["-ip-masq", "false"], {}, [
    'everything from "false" on is ignored: it is not a flag, so the flags end there; write -ip-masq=false',
  ], "a boolean takes no next word"],
  [["-ip-masq", "eth0"], {}, [
    'everything from "eth0" on is ignored: it is not a flag, so the flags end there',
  ], "flannel says nothing here"],
  [["-ip-masq", "--"], {}, [], "nothing is behind the dashes"],
];

for (const [argv, environment, warnings, why] of warned) {
  const given = [...argv, ...Object.entries(environment).map((pair) => pair.join("="))].join(" ");
  Deno.test(`readFlags() warns ${warnings.length} times of \`${given}\`: ${why}`, () => {
    assertEquals(read(argv, environment).warnings, warnings);
  });
}

const environments: [environment: Environment, name: string, value: FlagValue, why: string][] = [
  [{ FLANNELD_PUBLIC_IP: "192.0.2.1" }, "public-ip", "192.0.2.1", "dashes become underscores"],
  [{ FLANNELD_LOG_BACKTRACE_AT: "a:1" }, "log_backtrace_at", "a:1", "underscores stay"],
  [{ FLANNELD_IFACE: "eth0,eth1" }, "iface", ["eth0,eth1"], "a list gets the whole value as one element"],
  [{ FLANNELD_FORWARD: "" }, "forward", true, "an empty variable is absent"],
  [{ FLANNELD_FILE: "" }, "file", "/f", "also where a value is needed"],
  [{ FLANNELD_FORWARD: "0" }, "forward", false, "a boolean word"],
  [{ FLANNELD_HEALTHZ_PORT: "x" }, "healthz-port", 7, "a bad value leaves the default"],
  [{ FLANNELD_VERSION: "true" }, "version", false, "flannel does not hear it"],
];

for (const [environment, name, value, why] of environments) {
  Deno.test(`readFlags() reads ${Object.keys(environment)[0]}=${Object.values(environment)[0]}: ${why}`, () => {
    assertEquals(read([], environment).values.get(name), value);
  });
}

const asked: [argv: string[], kind: string, why: string][] = [
  [["-h"], "help", "it is Go's"],
  [["--help"], "help", "it is Go's too"],
  [["-help=false"], "help", "a value changes nothing, as in Go"],
  [["-version"], "version", "it is asked"],
  [["-version", "-h"], "help", "help comes first"],
  [["-version=false"], "values", "it is not asked"],
];

for (const [argv, kind, why] of asked) {
  Deno.test(`readFlags() answers \`${argv.join(" ")}\` with ${kind}: ${why}`, () => {
    assertEquals(readFlags(argv, {}, TABLE).kind, kind);
  });
}

Deno.test("readFlags() refuses a bad flag before it hears -help behind it", () => {
  assertThrows(() => readFlags(["-bogus", "-help"], {}, TABLE), UsageError);
});

Deno.test("readFlags() takes the flag, else the variable, else the default, and says which", () => {
  const port = fc.option(fc.integer({ min: 0, max: 65535 }), { nil: undefined });
  fc.assert(fc.property(port, port, (flag, variable) => {
    const argv = flag === undefined ? [] : [`-healthz-port=${flag}`];
    const { values, given } = read(argv, { FLANNELD_HEALTHZ_PORT: variable?.toString() });
    assertEquals(values.get("healthz-port"), flag ?? variable ?? 7);
    const source = flag !== undefined ? "flag" : variable !== undefined ? "environment" : undefined;
    assertEquals(given.get("healthz-port"), source);
  }));
});

Deno.test("readFlags() reads any integer back, however it is written", () => {
  const written = fc.tuple(
    fc.nat(),
    fc.constantFrom<[string, number]>(["", 10], ["0x", 16], ["0o", 8], ["0b", 2]),
  );
  fc.assert(fc.property(written, ([number, [prefix, base]]) => {
    const digits = number.toString(base).replace(/\B(?=(?:\w{3})+$)/g, "_");
    assertEquals(read([`-healthz-port=${prefix}${digits}`]).values.get("healthz-port"), number);
  }));
});

Deno.test("readFlags() answers or throws a UsageError of one line, whatever it is given", () => {
  const word = fc.oneof(
    fc.string({ unit: "binary" }).map((text) => `-${text}`),
    fc.string(),
    fc.constantFrom("-iface", "-ip-masq", "--", "-vni=", "-healthz-port", "-h"),
  );
  fc.assert(fc.property(fc.array(word), (argv) => {
    try {
      readFlags(argv, {}, TABLE);
    } catch (error) {
      assertEquals(error instanceof UsageError && !error.message.includes("\n"), true, String(error));
    }
  }));
});
