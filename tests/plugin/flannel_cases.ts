/** One call of the plugin in a case. */
export interface FlannelStep {
  readonly verb: "ADD" | "DEL";
  /** What the runtime writes to standard input, with `SUBNET` and `DATA` for the paths. */
  readonly conf: string;
  /** Delegates that are not installed at this time. */
  readonly missing?: readonly string[];
  /** Whether delegates fail at this time. */
  readonly isFailing?: boolean;
  /** What the state files hold from here on, by name. */
  readonly files?: Readonly<Record<string, string>>;
}

/** What a runtime may ask, and what stands on the host then. */
export interface FlannelCase {
  readonly why: string;
  /** Absent where there is no file. */
  readonly subnetEnv: string | undefined;
  readonly steps: readonly FlannelStep[];
  /** The row of `docs/cni-plugin.md` that says why Loden does something else; absent where it does the same. */
  readonly row?: string;
}

const ENV =
  "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
const PLACES = '"subnetFile":"SUBNET","dataDir":"DATA"';
const HEAD = '"cniVersion":"1.0.0","name":"cbr0","type":"flannel"';

/** A configuration with the usual head and places, and these members behind them, as text. */
function conf(members = ""): string {
  return `{${HEAD},${PLACES}${members && ","}${members}}`;
}

/** ADD and DEL with one configuration that has these members. */
function both(why: string, members: string, row?: string): FlannelCase {
  return inPlace(why, conf(members), row);
}

function inPlace(why: string, text: string, row?: string): FlannelCase {
  return {
    why,
    subnetEnv: ENV,
    steps: [{ verb: "ADD", conf: text }, { verb: "DEL", conf: text }],
    ...row !== undefined && { row },
  };
}

/** ADD with a subnet file of this text, then DEL. */
function env(why: string, subnetEnv: string | undefined, row?: string): FlannelCase {
  return { ...inPlace(why, conf(), row), subnetEnv };
}

const IPAM = '{"type":"host-local","routes":[{"dst":"10.96.0.0/12"}]}';
const MAC = '{"mac":"02:00:00:00:00:01"}';

const CASE_OF_KEYS: readonly FlannelCase[] = [
  both("the usual spelling of all", `"ipam":${IPAM},"runtimeConfig":${MAC},"delegate":{"mtu":1400}`),
  both("Ipam", `"Ipam":${IPAM}`),
  both("IPAM", `"IPAM":${IPAM}`),
  both("RuntimeConfig", `"RuntimeConfig":${MAC}`),
  both("runtimeconfig", `"runtimeconfig":${MAC}`),
  both("Delegate", '"Delegate":{"bridge":"br1"}'),
  both("DELEGATE with a type", '"DELEGATE":{"type":"ptp"}'),
  inPlace("datadir", `{${HEAD},"subnetFile":"SUBNET","datadir":"DATA"}`),
  inPlace("DataDir and SubnetFile", `{${HEAD},"SubnetFile":"SUBNET","DataDir":"DATA"}`),
  inPlace("subnetfile", `{${HEAD},"subnetfile":"SUBNET","dataDir":"DATA"}`),
  inPlace("Name", `{"cniVersion":"1.0.0","Name":"cbr0","type":"flannel",${PLACES}}`),
  inPlace("CNIVersion", `{"CNIVersion":"0.3.1","name":"cbr0","type":"flannel",${PLACES}}`),
  inPlace("Kelvin's sign in a key", `{${HEAD},${PLACES},"\u212aey":1,"delegate":{"\u212a":1}}`),
  inPlace("a long s in subnetFile", `{${HEAD},"\u017fubnetFile":"SUBNET","dataDir":"DATA"}`),
  inPlace("a long s in cniVersion", `{"cniVer\u017fion":"0.3.1","name":"cbr0","type":"flannel",${PLACES}}`),
  inPlace("an escaped key", `{${HEAD},${PLACES},"\\u0049pam":${IPAM}}`),
  both("a dotted I is none", '"\u0130pam":{"x":1},"\u0131pam":{"x":1}'),
  both("ipam, then Ipam: their keys are put together", '"ipam":{"a":1,"b":1},"Ipam":{"b":2}'),
  both("Ipam, then ipam: their keys are put together", '"Ipam":{"b":2},"ipam":{"a":1,"b":1}'),
  both("ipam twice: its keys are put together", '"ipam":{"a":{"x":1},"b":1},"ipam":{"a":{"y":1}}'),
  both("delegate twice", '"delegate":{"mtu":1400},"delegate":{"bridge":"br1"}'),
  both("runtimeConfig twice", '"runtimeConfig":{"a":1},"RuntimeConfig":{"b":1}'),
  both("null behind ipam takes it away", `"ipam":${IPAM},"IPAM":null`),
  both("null behind dataDir leaves it", '"dataDir":null'),
  both("another name behind the name", '"NAME":"other"'),
  both("a key twice in an object inside", '"ipam":{"x":{"a":1,"a":2}}'),
  both("Type in delegate is not its type", '"delegate":{"Type":"ptp"}'),
  both("MTU and IpMasq in delegate are others", '"delegate":{"MTU":1400,"IpMasq":true}'),
  both("Routes in ipam are others", '"ipam":{"Routes":[{"dst":"10.96.0.0/12"}]}'),
  both("Type in ipam is not its type", '"ipam":{"Type":"dhcp"}'),
  both("a route in any case", '"ipam":{"routes":[{"Dst":"10.96.0.0/12","GW":"10.244.1.9","Mtu":1400}]}'),
  both("a route with a key twice", '"ipam":{"routes":[{"dst":"10.96.0.0/12","Dst":"10.97.0.0/16"}]}'),
  both("a route with zeros", '"ipam":{"routes":[{"dst":"10.96.0.0/12","mtu":0,"advmss":0,"table":0}]}'),
];

const TEXT: readonly FlannelCase[] = [
  both("marks that Go escapes", '"delegate":{"x":"<a>&\u2028\u2029"}'),
  both("control characters", '"delegate":{"x":"\\b\\f\\n\\r\\t\\u0001\\u007f"}'),
  both("half of a pair", '"delegate":{"x":"\\ud800y"}'),
  both("keys that look like numbers", '"delegate":{"9":1,"10":2,"a":3}'),
  both("keys beyond the first plane", '"delegate":{"\ud83d\ude00":1,"\uff5e":2}'),
  both("a key that objects have by birth", '"delegate":{"__proto__":{"x":1},"constructor":1}'),
  both("large and small numbers", '"delegate":{"x":[1e21,1e20,1e-7,0.1,12345678901234567890,-0]}'),
  both("1e400 in delegate", '"delegate":{"mtu":1e400}', "DEL with a configuration that ADD refuses"),
  both("1e400 in ipam", '"ipam":{"x":[1e400]}', "DEL with a configuration that ADD refuses"),
  both("an empty delegate", '"delegate":{}'),
  both("null for all", '"delegate":null,"ipam":null,"runtimeConfig":null'),
  both("empty runtimeConfig", '"runtimeConfig":{}'),
];

const REFUSED: readonly FlannelCase[] = [
  both("a delegate's type that is no text", '"delegate":{"type":7}'),
  both("a delegate's type that is null", '"delegate":{"type":null}'),
  both("a delegate with a name", '"delegate":{"name":"x"}'),
  both("a delegate with ipam", '"delegate":{"ipam":{}}'),
  both("a delegate that is a list", '"delegate":[]', "DEL with a configuration that ADD refuses"),
  both("ipam that is text", '"ipam":"host-local"', "DEL with a configuration that ADD refuses"),
  both("runtimeConfig that is a list", '"runtimeConfig":[]', "DEL with a configuration that ADD refuses"),
  both("prevResult that is text", '"prevResult":"x"', "DEL with a configuration that ADD refuses"),
  both("routes that are none", '"ipam":{"routes":{}}'),
  both("a route that is text", '"ipam":{"routes":["10.96.0.0/12"]}'),
  both(
    "IPv4 addresses inside IPv6 ones in a route",
    '"ipam":{"routes":[{"dst":"::ffff:10.9.0.0/104","gw":"::ffff:10.244.1.9"},{"dst":"::ffff:1.2.3.4/8"}]}',
  ),
  both("a route to no network", '"ipam":{"routes":[{"dst":"10.96.0.0"}]}'),
  both("a route by no address", '"ipam":{"routes":[{"dst":"10.96.0.0/12","gw":"x"}]}'),
  both("a route that is null", '"ipam":{"routes":[null]}', "a route to nowhere"),
  both("a route without dst", '"ipam":{"routes":[{"mtu":1400}]}', "a route to nowhere"),
  both("a route to null", '"ipam":{"routes":[{"dst":null}]}'),
  both("routes that are null", '"ipam":{"routes":null}'),
  both("a route with a broken MTU", '"ipam":{"routes":[{"dst":"10.96.0.0/12","mtu":1.5}]}'),
  inPlace("a dataDir that is a number", `{${HEAD},"subnetFile":"SUBNET","dataDir":7}`),
  inPlace(
    "a subnetFile that is a number",
    `{${HEAD},"subnetFile":7,"dataDir":"DATA"}`,
    "DEL with a configuration that ADD refuses",
  ),
  both(
    "a key twice, the first of the wrong kind",
    '"ipam":7,"ipam":{}',
    "DEL with a configuration that ADD refuses",
  ),
  both(
    "a key twice, the first of the wrong kind and in capitals",
    '"IPAM":7,"ipam":null',
    "DEL with a configuration that ADD refuses",
  ),
  inPlace(
    "dataDir twice, the first a number",
    `{${HEAD},"subnetFile":"SUBNET","DATADIR":7,"dataDir":"DATA"}`,
  ),
  both(
    "a route with a key twice, one of the wrong kind",
    '"ipam":{"routes":[{"Dst":7,"dst":"10.96.0.0/12"}]}',
  ),
  inPlace("no name", `{"cniVersion":"1.0.0","type":"flannel",${PLACES}}`),
  inPlace("a name that is no name", `{"cniVersion":"1.0.0","name":"a/b","type":"flannel",${PLACES}}`),
  inPlace("a version that nobody knows", `{"cniVersion":"9.9.9","name":"cbr0","type":"flannel",${PLACES}}`),
  inPlace("no JSON", '{"name":'),
  inPlace("JSON with something behind it", `${conf()} x`),
  inPlace("a list", "[]"),
  both("dns that is text", '"dns":"x"', "keys that nobody uses, of the wrong kind"),
  both(
    "capabilities that are text",
    '"capabilities":{"mac":"yes"}',
    "keys that nobody uses, of the wrong kind",
  ),
  {
    why: "ADD was well, and DEL comes with a configuration that ADD refuses",
    subnetEnv: ENV,
    steps: [{ verb: "ADD", conf: conf() }, { verb: "DEL", conf: conf('"delegate":{"name":"x"}') }],
  },
  {
    why: "ADD was well, and DEL comes with ipam that is text",
    subnetEnv: ENV,
    steps: [{ verb: "ADD", conf: conf() }, { verb: "DEL", conf: conf('"ipam":"x"') }],
    row: "DEL with a configuration that ADD refuses",
  },
];

function steps(why: string, list: readonly FlannelStep[], row?: string): FlannelCase {
  return { why, subnetEnv: ENV, steps: list, ...row !== undefined && { row } };
}

const C = conf();
const STATE = '{"cniVersion":"1.0.0","name":"cbr0","type":"bridge"}';
const MISSING = "ADD whose delegate is missing";
const DELEGATES: readonly FlannelCase[] = [
  steps("a delegate that is missing at ADD and at DEL", [
    { verb: "ADD", conf: C, missing: ["bridge"] },
    { verb: "DEL", conf: C, missing: ["bridge"] },
    { verb: "DEL", conf: C, missing: ["bridge"] },
  ], MISSING),
  steps("a delegate that is missing at ADD, and there at DEL", [
    { verb: "ADD", conf: C, missing: ["bridge"] },
    { verb: "DEL", conf: C },
  ], MISSING),
  steps("a delegate that is there at ADD, and missing at DEL", [
    { verb: "ADD", conf: C },
    { verb: "DEL", conf: C, missing: ["bridge"] },
    { verb: "DEL", conf: C },
  ], "DEL that fails in the delegate"),
  both("a delegate whose type is a path", '"delegate":{"type":"../bridge"}', MISSING),
  both("a delegate whose type is empty", '"delegate":{"type":""}', MISSING),
  steps("a delegate that fails at ADD", [
    { verb: "ADD", conf: C, isFailing: true },
    { verb: "DEL", conf: C },
  ], "ADD that fails in the delegate"),
  steps("a delegate that fails at DEL", [
    { verb: "ADD", conf: C },
    { verb: "DEL", conf: C, isFailing: true },
    { verb: "DEL", conf: C },
  ], "DEL that fails in the delegate"),
  steps("ADD twice, the second with other keys", [
    { verb: "ADD", conf: C },
    { verb: "ADD", conf: conf('"delegate":{"mtu":1400}') },
    { verb: "DEL", conf: C },
  ]),
  steps("ADD twice, and the second fails with other keys", [
    { verb: "ADD", conf: C },
    { verb: "ADD", conf: conf('"delegate":{"mtu":1400}'), isFailing: true },
    { verb: "DEL", conf: C },
  ], "ADD that is repeated and fails"),
  steps("DEL with the result of ADD", [
    { verb: "ADD", conf: C },
    { verb: "DEL", conf: conf('"prevResult":{"cniVersion":"1.0.0","ips":[]}') },
  ], "DEL with the result of ADD"),
  steps("DEL of an older version with the result of ADD", [
    { verb: "ADD", conf: C.replace("1.0.0", "0.3.1") },
    { verb: "DEL", conf: conf('"prevResult":{"cniVersion":"0.3.1","ips":[]}').replace("1.0.0", "0.3.1") },
  ]),
  steps("DEL twice", [{ verb: "ADD", conf: C }, { verb: "DEL", conf: C }, { verb: "DEL", conf: C }]),
  steps("DEL of nothing", [{ verb: "DEL", conf: C }]),
  steps("DEL under another name of the network", [
    { verb: "ADD", conf: C },
    { verb: "DEL", conf: C.replace('"cbr0"', '"other"') },
  ]),
];

function kept(why: string, text: string, row?: string): FlannelCase {
  return steps(why, [{ verb: "DEL", conf: C, files: { c1: text } }], row);
}

const STATES: readonly FlannelCase[] = [
  kept("state of flannel's plugin", STATE),
  kept("state of another network", STATE.replace("cbr0", "other"), "state of another network"),
  kept("state without a network", '{"type":"bridge"}'),
  kept("state whose keys are in another case", '{"Type":"ptp","NAME":"cbr0"}'),
  kept("state with a key twice", '{"name":"cbr0","type":"bridge","Type":"ptp"}'),
  kept("state that is empty", ""),
  kept("state that is half written", STATE.slice(0, 30)),
  kept("state that is a list", "[]"),
  kept("state without a type", '{"name":"cbr0"}', "state that can't be used"),
  kept("state whose type is a number", '{"name":"cbr0","type":7}'),
  kept("state whose type is a path", '{"name":"cbr0","type":"../x"}', "state that can't be used"),
  kept("state with junk behind it", `${STATE}x`),
  kept("state with blanks before it", ` ${STATE}`),
  kept(
    "state whose numbers and marks are its own",
    '{ "name":"cbr0","type":"bridge","x":[1.0,1e2,"<\\u0041"] }',
  ),
  kept("state with what Go can't read", '{"name":"cbr0","type":"bridge","x":1e400}'),
  kept("state whose dns is text", '{"name":"cbr0","type":"bridge","dns":"x"}', "state that can't be used"),
  steps("ADD over state of flannel's plugin", [
    { verb: "ADD", conf: C, files: { c1: STATE } },
    { verb: "DEL", conf: C },
  ], "ADD over state of flannel's plugin"),
];

const V4 = "FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=10.244.1.1/24\n";
const V6 = "FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1/64\n";
const REST = "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";

function subnet(text: string): string {
  return `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_SUBNET=${text}\n${REST}`;
}

function network(text: string): string {
  return `FLANNEL_NETWORK=${text}\nFLANNEL_SUBNET=10.244.1.1/24\n${REST}`;
}

function mtu(text: string): string {
  return `${V4}FLANNEL_MTU=${text}\nFLANNEL_IPMASQ=true\n`;
}

const SUBNET_FILES: readonly FlannelCase[] = [
  env("no file", undefined),
  env("an empty file", ""),
  env("a file of one empty line", "\n"),
  env("no keys of flannel's", "foo=bar\n"),
  env("junk", "\0\xff{}\n===\n=x\n"),
  env("dual stack", V4 + V6 + REST),
  env("IPv6 before IPv4", V6 + V4 + REST),
  env("IPv6 alone", V6 + REST),
  env("IPv6 in FLANNEL_SUBNET", subnet("fc00::1/64")),
  env("IPv6 in FLANNEL_NETWORK", network("fc00::/48")),
  env("both families in FLANNEL_NETWORK", network("fc00::/48,10.244.0.0/16")),
  env("IPv4 in the keys of IPv6", V4.replaceAll("FLANNEL_", "FLANNEL_IPV6_") + REST),
  env("the same subnet in both keys", `${V4}FLANNEL_IPV6_SUBNET=10.244.1.1/24\n${REST}`),
  env("the same network in both keys", `${V4}FLANNEL_IPV6_NETWORK=10.244.0.0/16\n${REST}`),
  env(
    "a network of IPv4 and a subnet of IPv6",
    `FLANNEL_NETWORK=10.244.0.0/16\nFLANNEL_IPV6_SUBNET=fc00::1/64\n${REST}`,
  ),
  env("an IPv4 address in IPv6", subnet("::ffff:10.244.1.1/120")),
  env("1e400 as MTU", mtu("1e400")),
  env("1e3 as MTU", mtu("1e3")),
  env("0x5aa as MTU", mtu("0x5aa")),
  env("no MTU behind the =", mtu("")),
  env("an MTU of zero", mtu("0")),
  env("an MTU with zeros before it", mtu("0000000001450")),
  env("an MTU with a sign", mtu("+1450")),
  env("an MTU below zero", mtu("-1")),
  env("an MTU with a blank", mtu("1450 ")),
  env("the largest MTU", mtu("4294967295")),
  env("an MTU that is too large", mtu("4294967296")),
  env("CRLF", ENV.replaceAll("\n", "\r\n")),
  env("CRLF, and CR alone behind the last line", ENV.replaceAll("\n", "\r\n").slice(0, -1)),
  env("CR alone between lines", ENV.replaceAll("\n", "\r")),
  env("two CR behind a line", ENV.replaceAll("\n", "\r\r\n")),
  env("no end of the last line", ENV.slice(0, -1)),
  env("export before the keys", ENV.replaceAll("FLANNEL", "export FLANNEL")),
  env("blanks before the keys", ENV.replaceAll("FLANNEL", " FLANNEL")),
  env("blanks around the =", ENV.replaceAll("=", " = ")),
  env("double quotes", ENV.replaceAll(/=(.*)/g, '="$1"')),
  env("single quotes", ENV.replaceAll(/=(.*)/g, "='$1'")),
  env("quotes around true alone", `${V4}FLANNEL_MTU=1450\nFLANNEL_IPMASQ="true"\n`),
  env("IPMASQ in capitals", `${V4}FLANNEL_MTU=1450\nFLANNEL_IPMASQ=TRUE\n`),
  env("IPMASQ empty", `${V4}FLANNEL_MTU=1450\nFLANNEL_IPMASQ=\n`),
  env("keys in small letters", ENV.replaceAll("FLANNEL", "flannel")),
  env("a byte order mark", `\ufeff${ENV}`),
  env("comments and keys of others", `# FLANNEL_MTU=1\nFOO=bar\n${ENV}export FLANNEL_MTU=1\n`),
  env("a key twice", `${ENV}FLANNEL_MTU=1400\nFLANNEL_SUBNET=10.244.2.1/24\n`),
  env("a key twice, the first broken", `FLANNEL_SUBNET=x\n${ENV}`),
  env("a key twice, the last empty", `${ENV}FLANNEL_SUBNET=\n`),
  env("an empty network beside IPv6", `FLANNEL_NETWORK=\n${V6}${REST}`),
  env("an empty subnet beside IPv6", `FLANNEL_SUBNET=\n${V6}${REST}`),
  env("a comma too many", network("10.244.0.0/16,")),
  env("a network twice", network("10.244.0.0/16,10.244.5.0/16")),
  env("two networks", network("10.244.0.0/16,192.168.0.0/16")),
  env("a blank in a list", network("10.244.0.0/16, 192.168.0.0/16")),
  env("two subnets", subnet("10.244.1.1/24,10.244.2.1/24")),
  env("a subnet without length", subnet("10.244.1.1")),
  env("a length with a zero before it", subnet("10.244.1.1/024")),
  env("a length that is too long", subnet("10.244.1.1/33")),
  env("an octet with a zero before it", subnet("10.244.01.1/24")),
  env("a zone", `FLANNEL_IPV6_NETWORK=fc00::/48\nFLANNEL_IPV6_SUBNET=fc00::1%eth0/64\n${REST}`),
  env(
    "IPv6 in capitals, written long",
    `FLANNEL_IPV6_NETWORK=FC00:0:0::/48\nFLANNEL_IPV6_SUBNET=FC00:0:0:0:0:0:0:1/64\n${REST}`,
  ),
  env("the whole of IPv4", network("0.0.0.0/0")),
  env("a = in a value", `${ENV}FLANNEL_IPMASQ=true=false\n`),
  env("a key without =", `${ENV}FLANNEL_MTU\n`),
  env("a key of Loden's without =", `${ENV}FLANNEL_BACKEND\nFLANNEL_DELEGATE\n`),
  env("no MTU", `${V4}FLANNEL_IPMASQ=true\n`),
  env("no IPMASQ", `${V4}FLANNEL_MTU=1450\n`),
  env("no subnet", `FLANNEL_NETWORK=10.244.0.0/16\n${REST}`),
  env("no network", `FLANNEL_SUBNET=10.244.1.1/24\n${REST}`),
];

/** All that flannel's plugin was asked. */
export const FLANNEL_CASES: readonly FlannelCase[] = [
  ...CASE_OF_KEYS,
  ...TEXT,
  ...REFUSED,
  ...DELEGATES,
  ...STATES,
  ...SUBNET_FILES,
];
