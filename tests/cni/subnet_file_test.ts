import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import fc from "fast-check";
import { checkSubnetFile, formatSubnetFile, parseSubnetFile } from "../../src/cni/subnet_file.ts";
import { SubnetFileError, type SubnetFileReading, writeSubnetFile } from "../../src/cni/subnet_file.ts";
import { type Ipv4, type Ipv6, maskAddress, parseAddress, parsePrefix } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";

function lease(...subnets: string[]): Lease {
  const parts = subnets.map((subnet) => ({
    subnet: parsePrefix(subnet),
    underlayAddress: parseAddress(subnet.includes(":") ? "2001:db8::1" : "192.0.2.1"),
    backendData: {},
  }));
  return { host: "192.0.2.1", backendType: "vxlan", parts };
}

// `flanneld` at cdf76059 wrote all lines but the last (spec, section 4.1).
const formatted: [
  networks: string[],
  subnets: string[],
  masquerade: boolean,
  lines: string[],
  why: string,
][] = [
  [["10.244.0.0/16"], ["10.244.1.0/24"], true, [
    "FLANNEL_NETWORK=10.244.0.0/16",
    "FLANNEL_SUBNET=10.244.1.1/24",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=true",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv4 alone"],
  [["2001:cafe:42::/56"], ["2001:cafe:42::/64"], false, [
    "FLANNEL_IPV6_NETWORK=2001:cafe:42::/56",
    "FLANNEL_IPV6_SUBNET=2001:cafe:42::1/64",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=false",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv6 alone"],
  [["2001:cafe:42::/56", "10.244.0.0/16"], ["2001:cafe:42:1::/64", "10.244.255.0/24"], true, [
    "FLANNEL_NETWORK=10.244.0.0/16",
    "FLANNEL_SUBNET=10.244.255.1/24",
    "FLANNEL_IPV6_NETWORK=2001:cafe:42::/56",
    "FLANNEL_IPV6_SUBNET=2001:cafe:42:1::1/64",
    "FLANNEL_MTU=1450",
    "FLANNEL_IPMASQ=true",
    "FLANNEL_BACKEND=vxlan",
  ], "IPv4 comes first, whatever the order was"],
];

for (const [networks, subnets, masquerade, lines, why] of formatted) {
  Deno.test(`formatSubnetFile() writes flannel's lines and the backend: ${why}`, () => {
    const content = {
      networks: networks.map(parsePrefix),
      lease: lease(...subnets),
      mtuBytes: 1450,
      masquerade,
    };
    assertEquals(formatSubnetFile(content), `${lines.join("\n")}\n`);
  });
}

const NOTHING: SubnetFileReading = { networks: [], subnets: [] };
const SUBNET: SubnetFileReading = { networks: [], subnets: [parsePrefix("10.244.1.0/24")] };

const parsed: [text: string, reading: SubnetFileReading, why: string][] = [
  ["", NOTHING, "an empty file says nothing"],
  ["\0\xff{}\n===\nFLANNEL_SUBNET\n=x\n", NOTHING, "junk says nothing"],
  ["FLANNEL_SUBNET=10.244.1.1/24\n", SUBNET, "host bits are cleared"],
  ["FLANNEL_SUBNET=10.244.1.1/24\r\n", SUBNET, "lines may end as on Windows"],
  ["FLANNEL_SUBNET=10.244.1.1/24", SUBNET, "the last line may lack its end"],
  ['  export FLANNEL_SUBNET = "10.244.1.1/24"  # mine\n', SUBNET, "shells write it so"],
  ["FLANNEL_SUBNET='10.244.1.1/24'\n", SUBNET, "single quotes are quotes"],
  ["FLANNEL_SUBNET: 10.244.1.1/24 # mine\n", SUBNET, "a colon separates as well"],
  ["#FLANNEL_SUBNET=10.9.9.1/24\nFLANNEL_SUBNET=10.244.1.1/24\n", SUBNET, "a comment is none"],
  ["FLANNEL_SUBNET=10.9.9.1/24\nFLANNEL_SUBNET=10.244.1.1/24\n", SUBNET, "the last of two lines counts"],
  ["FLANNEL_SUBNET=junk,10.244.1.1/24,10.300.0.1/24\n", SUBNET, "one of a list is valid"],
  ["FLANNEL_SUBNET=10.244.1.1/24,10.244.2.1/24\n", NOTHING, "two of a list are valid: neither is meant"],
  ["FLANNEL_SUBNET=fd00::1/64\nFLANNEL_IPV6_SUBNET=10.244.1.1/24\n", NOTHING, "families are mixed up"],
  ["FLANNEL_SUBNET=10.244.1.1\n", NOTHING, "there is no length"],
  ["FLANNEL_SUBNET=$SUBNET\n", NOTHING, "variables are not expanded"],
  [
    "FLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n",
    { ...NOTHING, mtuBytes: 1450, masquerade: true },
    "numbers and booleans",
  ],
  [
    "FLANNEL_MTU=-1\nFLANNEL_IPMASQ=TRUE\n",
    { ...NOTHING, masquerade: false },
    "only 'true' is true, as in the plugin",
  ],
  ["FLANNEL_MTU=1e3\n", NOTHING, "an MTU has digits only"],
  ["FLANNEL_BACKEND=vxlan\n", { ...NOTHING, backendType: "vxlan" }, "the backend is ours"],
  ["FLANNEL_BACKEND=../../bin/sh\n", NOTHING, "a backend has a name, not a path"],
  [`FLANNEL_SUBNET=10.244.1.1/24\n${"#".repeat(70_000)}`, NOTHING, "a file this large is something else"],
];

for (const [text, reading, why] of parsed) {
  Deno.test(`parseSubnetFile() reads ${JSON.stringify(text.slice(0, 60))}: ${why}`, () => {
    assertEquals(parseSubnetFile(text), reading);
  });
}

Deno.test("parseSubnetFile() reads what formatSubnetFile() writes", () => {
  const ipv4 = fc.integer({ min: 0, max: 0xffff_ff00 }).map((address) => prefix(address as Ipv4, 24));
  const ipv6 = fc.bigInt({ min: 0n, max: (1n << 128n) - 256n }).map((address) => prefix(address as Ipv6, 64));
  fc.assert(
    fc.property(
      ipv4,
      ipv6,
      fc.integer({ min: 0, max: 65_535 }),
      fc.boolean(),
      (a, b, mtuBytes, masquerade) => {
        const held = { host: "a", backendType: "vxlan", parts: [part(a), part(b)] };
        const text = formatSubnetFile({ networks: [a, b], lease: held, mtuBytes, masquerade });
        const subnets = [a, b];
        const expected = { networks: [a, b], subnets, mtuBytes, masquerade, backendType: "vxlan" };
        assertEquals(parseSubnetFile(text), expected);
      },
    ),
  );
});

function prefix(address: Ipv4 | Ipv6, length: number) {
  return { address: maskAddress(address, length), length };
}

function part(subnet: ReturnType<typeof prefix>) {
  return { subnet, underlayAddress: subnet.address, backendData: null };
}

Deno.test("parseSubnetFile() never throws", () => {
  const line = fc.tuple(
    fc.constantFrom("FLANNEL_SUBNET", "FLANNEL_IPV6_SUBNET", "FLANNEL_MTU", "export FLANNEL_NETWORK"),
    fc.constantFrom("=", ":", "", " = ", '="'),
    fc.string(),
  ).map((fields) => fields.join(""));
  fc.assert(fc.property(fc.array(fc.oneof(line, fc.string())), (lines) => {
    parseSubnetFile(lines.join("\n"));
  }));
});

Deno.test("parseSubnetFile() takes no time to speak of for a line that was made to take long", () => {
  const startedMs = performance.now();
  parseSubnetFile(`FLANNEL_SUBNET=${" ".repeat(30_000)}x${" ".repeat(30_000)}y`);
  parseSubnetFile(`FLANNEL_SUBNET="${" #".repeat(30_000)}`);
  assert(performance.now() - startedMs < 2000);
});

/** A folder for one test. */
async function withFolder(body: (folder: string) => Promise<void> | void): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "loden-subnet-" });
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

function mode(path: string): number {
  return Deno.statSync(path).mode! & 0o7777;
}

Deno.test("writeSubnetFile() makes the folders, the file readable by all, and nothing else", () =>
  withFolder((folder) => {
    const umask = Deno.umask(0o077);
    try {
      assertEquals(writeSubnetFile(`${folder}/a/b/subnet.env`, "one\n"), true);
    } finally {
      Deno.umask(umask);
    }
    assertEquals(names(`${folder}/a/b`), ["subnet.env"]);
    assertEquals(Deno.readTextFileSync(`${folder}/a/b/subnet.env`), "one\n");
    assertEquals(mode(`${folder}/a/b/subnet.env`), 0o644);
  }));

Deno.test("writeSubnetFile() replaces a file as a whole and keeps its permission bits", () =>
  withFolder((folder) => {
    const path = `${folder}/subnet.env`;
    Deno.writeTextFileSync(path, "a much longer text than the next\n");
    Deno.chmodSync(path, 0o600);
    using reader = Deno.openSync(path);
    assertEquals(writeSubnetFile(path, "two\n"), true);
    assertEquals([Deno.readTextFileSync(path), mode(path)], ["two\n", 0o600]);
    const bytes = new Uint8Array(7);
    reader.readSync(bytes);
    assertEquals(new TextDecoder().decode(bytes), "a much ");
  }));

Deno.test("writeSubnetFile() leaves a file alone that says the same already", () =>
  withFolder((folder) => {
    const path = `${folder}/subnet.env`;
    writeSubnetFile(path, "same\n");
    const before = Deno.statSync(path).ino;
    assertEquals(writeSubnetFile(path, "same\n"), false);
    assertEquals(Deno.statSync(path).ino, before);
    Deno.removeSync(path);
    assertEquals(writeSubnetFile(path, "same\n"), true);
  }));

Deno.test("writeSubnetFile() replaces a symbolic link, and leaves what it leads to alone", () =>
  withFolder((folder) => {
    Deno.writeTextFileSync(`${folder}/precious`, "precious");
    Deno.symlinkSync(`${folder}/precious`, `${folder}/subnet.env`);
    writeSubnetFile(`${folder}/subnet.env`, "text\n");
    assertEquals(Deno.readTextFileSync(`${folder}/precious`), "precious");
    assertEquals(Deno.lstatSync(`${folder}/subnet.env`).isFile, true);
  }));

const unwritable: [make: (folder: string) => string, reason: RegExp, why: string][] = [
  [
    (folder) => {
      Deno.writeTextFileSync(`${folder}/file`, "");
      return `${folder}/file/subnet.env`;
    },
    /a part of its path is not a folder/,
    "its folder is a file",
  ],
  [
    (folder) => {
      Deno.mkdirSync(`${folder}/subnet.env`);
      return `${folder}/subnet.env`;
    },
    /: it is a folder;/,
    "it is a folder",
  ],
  [() => "/proc/loden/subnet.env", /there is no such file or folder/, "nobody can write there"],
];

for (const [make, reason, why] of unwritable) {
  Deno.test(`writeSubnetFile() and checkSubnetFile() say what to do and leave nothing behind when ${why}`, () =>
    withFolder((folder) => {
      const path = make(folder);
      const before = names(folder);
      for (const act of [() => writeSubnetFile(path, "text\n"), () => checkSubnetFile(path)]) {
        const error = assertThrows(act, SubnetFileError);
        assertMatch(error.message, reason);
        assert(error.message.startsWith(`Cannot write the subnet file ${path}: `));
        assert(error.message.endsWith("; make it writable, or name another with -subnet-file"));
      }
      assertEquals(names(folder), before);
    }));
}

Deno.test("checkSubnetFile() makes the folder and leaves no file, nor changes one", () =>
  withFolder((folder) => {
    checkSubnetFile(`${folder}/run/subnet.env`);
    assertEquals(names(`${folder}/run`), []);
    writeSubnetFile(`${folder}/run/subnet.env`, "text\n");
    checkSubnetFile(`${folder}/run/subnet.env`);
    assertEquals(names(`${folder}/run`), ["subnet.env"]);
  }));
