import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { dirname } from "node:path";
import { replaceFile } from "../../src/file/replace_file.ts";
import {
  type BootIdentity,
  bootIdentityPath,
  compareBoots,
  formatBootIdentity,
  keepBootIdentity,
  parseBootIdentity,
  readBootIdentity,
} from "../../src/host/boot_identity.ts";
import { formatMac, parseAddress, parseMac } from "../../src/model/address.ts";

const FIRST = "b1d8a2c0-1111-4222-8333-0123456789ab";
const SECOND = "c2e9b3d1-1111-4222-8333-0123456789ab";
const OWN = parseMac("0e:2a:00:00:00:01");
const CARD = { linkName: "eth0", mac: parseMac("52:54:00:00:00:01") };
const OTHER_CARD = { linkName: "eth0", mac: parseMac("52:54:00:00:00:02") };

const BEFORE: BootIdentity = {
  bootId: FIRST,
  underlay: CARD,
  vteps: [{ linkName: "flannel.1", mac: OWN }],
  addresses: [parseAddress("192.0.2.1"), parseAddress("2001:db8::1")],
  holding: { registry: "etcd /coreos.com/network", token: "7587870543528943618" },
};

const answers: [
  kind: string,
  previous: BootIdentity | string,
  current: Pick<BootIdentity, "bootId" | "underlay">,
  isMacKept: boolean,
  why: string,
][] = [
  ["unknown", "there is no boot.json", { bootId: FIRST, underlay: CARD }, false, "nothing was kept"],
  ["same boot", BEFORE, { bootId: FIRST, underlay: CARD }, true, "the agent was restarted"],
  [
    "same boot",
    BEFORE,
    { bootId: FIRST, underlay: OTHER_CARD },
    true,
    "the card was replaced in a running host",
  ],
  ["rebooted", BEFORE, { bootId: SECOND, underlay: CARD }, true, "another boot of the same machine"],
  [
    "rebooted",
    BEFORE,
    { bootId: SECOND, underlay: { ...CARD, linkName: "ens3" } },
    true,
    "the card has a new name",
  ],
  [
    "rebooted",
    { ...BEFORE, underlay: undefined },
    { bootId: SECOND, underlay: CARD },
    true,
    "it had no MAC then",
  ],
  ["rebooted", BEFORE, { bootId: SECOND, underlay: undefined }, true, "it has no MAC now"],
  [
    "other host",
    BEFORE,
    { bootId: SECOND, underlay: OTHER_CARD },
    false,
    "the disk came from another machine",
  ],
];

for (const [kind, previous, current, isMacKept, why] of answers) {
  Deno.test(`compareBoots() says "${kind}" when ${why}`, () => {
    const answer = compareBoots(previous, current);
    assertEquals(answer.kind, kind);
    assertEquals(answer.vtepMacs.get("flannel.1"), isMacKept ? OWN : undefined);
    assert(answer.reason.length > 0);
  });
}

Deno.test("compareBoots() names both MACs when the machine is another one", () => {
  const { reason } = compareBoots(BEFORE, { bootId: SECOND, underlay: OTHER_CARD });
  assert(reason.includes(formatMac(CARD.mac)) && reason.includes(formatMac(OTHER_CARD.mac)), reason);
});

const identities: BootIdentity[] = [
  BEFORE,
  { ...BEFORE, routerLinks: [] },
  { ...BEFORE, routerLinks: ["eth1"] },
  { ...BEFORE, underlay: undefined },
  { ...BEFORE, vteps: [] },
];

for (const identity of identities) {
  Deno.test(`parseBootIdentity() reads what formatBootIdentity() wrote: ${formatBootIdentity(identity)}`, () => {
    assertEquals(parseBootIdentity(formatBootIdentity(identity)), identity);
  });
}

const hostile: [text: string, why: string][] = [
  ["", "it is empty, as after a power failure"],
  ["{", "it is cut"],
  ["null", "it is no object"],
  ["[]", "it is a list"],
  ['{"bootId":"","vteps":[]}', "the boot id is none"],
  [`{"bootId":"${FIRST}"}`, "there are no links"],
  [`{"bootId":"${FIRST}","vteps":{}}`, "links are no list"],
  [`{"bootId":"${FIRST}","vteps":[null]}`, "a link is none"],
  [
    `{"bootId":"${FIRST}","vteps":[{"name":"flannel.1","mac":"ff:ff:ff:ff:ff:ff"}]}`,
    "a MAC is the broadcast's",
  ],
  [`{"bootId":"${FIRST}","vteps":[{"name":"flannel.1","mac":"00:00:00:00:00:00"}]}`, "a MAC is nobody's"],
  [`{"bootId":"${FIRST}","vteps":[{"name":"","mac":"0e:2a:00:00:00:01"}]}`, "a link has no name"],
  [
    `{"bootId":"${FIRST}","vteps":[{"name":"a-name-of-16-byt","mac":"0e:2a:00:00:00:01"}]}`,
    "a name is too long",
  ],
  [`{"bootId":"${FIRST}","vteps":[],"underlay":{"name":"eth0","mac":1}}`, "the underlay's MAC is a number"],
  [`{"bootId":"${FIRST}","vteps":[],"routerLinks":"eth1"}`, "the links that forwarded are no list"],
  [
    `{"bootId":"${FIRST}","vteps":[],"routerLinks":["../../x/accept_ra"]}`,
    "the name of one of these is too long",
  ],
  [
    `{"bootId":"${FIRST}","vteps":[${Array(17).fill('{"name":"a","mac":"0e:2a:00:00:00:01"}').join(",")}]}`,
    "there are more links than a host has",
  ],
];

for (const [text, why] of hostile) {
  Deno.test(`parseBootIdentity() takes nothing from a file when ${why}`, () => {
    assertEquals(parseBootIdentity(text), undefined);
  });
}

async function inFolder(test: (path: string) => void | Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await test(bootIdentityPath(`${folder}/subnet.env`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function namesBeside(path: string): Promise<string[]> {
  return (await Array.fromAsync(Deno.readDir(dirname(path)))).map(({ name }) => name);
}

Deno.test("keepBootIdentity() writes what differs, and again what is gone", () =>
  inFolder(async (path) => {
    assertEquals(readBootIdentity(path), `there is no ${path}`);
    assertEquals(keepBootIdentity(path, BEFORE, replaceFile), true);
    assertEquals(readBootIdentity(path), BEFORE);
    assertEquals(keepBootIdentity(path, BEFORE, replaceFile), false);
    assertEquals(keepBootIdentity(path, { ...BEFORE, bootId: SECOND }, replaceFile), true);
    await Deno.remove(path);
    assertEquals(keepBootIdentity(path, BEFORE, replaceFile), true);
    assertEquals(await namesBeside(path), ["boot.json"]);
  }));

Deno.test("readBootIdentity() says why it has nothing, and keepBootIdentity() mends the file", () =>
  inFolder(async (path) => {
    await Deno.writeTextFile(path, "\0garbage");
    assertEquals(readBootIdentity(path), `${path} holds no boot identity`);
    await Deno.writeTextFile(path, " ".repeat(64 * 1024 + 1));
    assertEquals(readBootIdentity(path), `${path} holds no boot identity`);
    assertEquals(keepBootIdentity(path, BEFORE, replaceFile), true);
    assertEquals(readBootIdentity(path), BEFORE);
  }));

Deno.test("keepBootIdentity() throws what the file system says, and leaves nothing behind", () =>
  inFolder(async (path) => {
    await Deno.mkdir(path);
    assertThrows(() => keepBootIdentity(path, BEFORE, replaceFile), Deno.errors.IsADirectory);
    assertMatch(readBootIdentity(path) as string, /holds no boot identity/);
    assertEquals(await namesBeside(path), ["boot.json"]);
  }));
