import { assert, assertEquals, assertMatch } from "@std/assert";
import { dirname } from "node:path";
import { replaceFile } from "../../src/file/replace_file.ts";
import { dhcpcdAdvice, unmanagedFiles, writeUnmanagedFiles } from "../../src/host/unmanaged_files.ts";

const NETWORK_MANAGER = "etc/NetworkManager/conf.d/zz-loden.conf";
const NETWORKD = "etc/systemd/network/00-loden.network";
const UDEVD = "etc/systemd/network/00-loden.link";

/** What a host's root folder may look like, in a folder of its own. */
async function inRoot(
  folders: readonly string[],
  test: (root: string) => void | Promise<void>,
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    for (const folder of folders) await Deno.mkdir(`${root}/${folder}`, { recursive: true });
    await test(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const BOTH = [NETWORK_MANAGER, NETWORKD].map(dirname);

function states(
  outcomes: readonly { readonly path: string; readonly state: string }[],
  root: string,
): string[] {
  return outcomes.map(({ path, state }) => `${path.slice(root.length + 1)} ${state}`);
}

/** Without the first line, which says whose the file is. */
async function body(path: string): Promise<string> {
  const [first, ...rest] = (await Deno.readTextFile(path)).split("\n");
  assertMatch(first!, /^# Written by loden/);
  return rest.join("\n");
}

/**
 * NetworkManager 1.42 (`--print-config` with another file that sets the list), systemd-networkd 252 (beside a file
 * that matches everything) and `udevadm test-builtin net_setup_link` 252 were seen to do what these ask.
 */
Deno.test("writeUnmanagedFiles() writes what NetworkManager, systemd-networkd and systemd-udevd heed", () =>
  inRoot(BOTH, async (root) => {
    const outcomes = writeUnmanagedFiles({ root, replaceFile });
    assertEquals(states(outcomes, root), [NETWORK_MANAGER, NETWORKD, UDEVD].map((path) => `${path} written`));
    assertEquals(
      await body(`${root}/${NETWORK_MANAGER}`),
      "[keyfile]\n" +
        "unmanaged-devices+=interface-name:flannel*;interface-name:cni0;interface-name:veth????????\n",
    );
    assertEquals(
      await body(`${root}/${NETWORKD}`),
      "[Match]\nName=flannel* cni0 veth????????\n\n[Link]\nUnmanaged=yes\n",
    );
    assertEquals(
      await body(`${root}/${UDEVD}`),
      "[Match]\nOriginalName=flannel* cni0 veth????????\n\n[Link]\nMACAddressPolicy=none\n",
    );
    assertMatch(outcomes[0]!.detail!, /systemctl reload NetworkManager/);
    assertMatch(outcomes[1]!.detail!, /networkctl reload/);
  }));

Deno.test("writeUnmanagedFiles() writes nothing twice, and again what was changed or removed", () =>
  inRoot(BOTH, async (root) => {
    const first = writeUnmanagedFiles({ root, replaceFile });
    const never = () => {
      throw new Error("this was not to be written");
    };
    const second = writeUnmanagedFiles({ root, replaceFile: never });
    assertEquals(second.map(({ state, detail }) => [state, detail]), Array(3).fill(["kept", undefined]));
    await Deno.remove(first[0]!.path);
    await Deno.writeTextFile(first[1]!.path, "# Written by loden, long ago\n");
    assertEquals(states(writeUnmanagedFiles({ root, replaceFile }), root), [
      `${NETWORK_MANAGER} written`,
      `${NETWORKD} written`,
      `${UDEVD} kept`,
    ]);
  }));

Deno.test("writeUnmanagedFiles() makes no folders: a program that has none is not there", () =>
  inRoot([], async (root) => {
    const outcomes = writeUnmanagedFiles({ root, replaceFile });
    assertEquals(outcomes.map(({ state }) => state), ["absent", "absent", "absent"]);
    assertEquals((await Array.fromAsync(Deno.readDir(root))).length, 0);
  }));

const foreign: [why: string, make: (path: string) => Promise<void>][] = [
  ["another program wrote it", (path) => Deno.writeTextFile(path, "[Match]\nName=*\n")],
  ["it is empty, which masks it", (path) => Deno.writeTextFile(path, "")],
  ["it leads to /dev/null, which masks it", (path) => Deno.symlink("/dev/null", path)],
  ["it is a folder", (path) => Deno.mkdir(path)],
  [
    "it is too large to be ours",
    (path) => Deno.writeTextFile(path, `# Written by loden${" ".repeat(70_000)}`),
  ],
];

for (const [why, make] of foreign) {
  Deno.test(`a file of our name is not ours, and stays as it is: ${why}`, () =>
    inRoot([dirname(NETWORKD)], async (root) => {
      const path = `${root}/${NETWORKD}`;
      await make(path);
      const before = await Deno.lstat(path);
      assertEquals(unmanagedFiles(root), []);
      const outcome = writeUnmanagedFiles({ root, replaceFile }).find((outcome) => outcome.path === path)!;
      assertEquals(outcome.state, "foreign");
      assertMatch(outcome.detail!, /stays as it is/);
      const { ino, size, isSymlink } = await Deno.lstat(path);
      assertEquals({ ino, size, isSymlink }, {
        ino: before.ino,
        size: before.size,
        isSymlink: before.isSymlink,
      });
    }));
}

Deno.test("writeUnmanagedFiles() says in a sentence what the file system refused, and writes the others", () =>
  inRoot(BOTH, (root) => {
    const refusing: typeof replaceFile = (path, text, mode) => {
      if (path.includes("NetworkManager")) throw new Deno.errors.PermissionDenied("Read-only file system");
      replaceFile(path, text, mode);
    };
    const outcomes = writeUnmanagedFiles({ root, replaceFile: refusing });
    assertEquals(outcomes.map(({ state }) => state), ["failed", "written", "written"]);
    assertEquals(outcomes[0]!.detail, `Cannot write ${root}/${NETWORK_MANAGER}: this user may not`);
  }));

Deno.test("unmanagedFiles() finds all that was written, and nothing else", () =>
  inRoot(BOTH, async (root) => {
    await Deno.writeTextFile(`${root}/${dirname(NETWORKD)}/10-other.network`, "[Match]\n");
    assertEquals(unmanagedFiles(root), []);
    const written = writeUnmanagedFiles({ root, replaceFile }).map(({ path }) => path);
    assertEquals(unmanagedFiles(root), written);
  }));

const configurations: [hasAdvice: boolean, text: string | undefined, why: string][] = [
  [false, undefined, "there is no dhcpcd"],
  [true, "", "it takes every link"],
  [true, "hostname\n# denyinterfaces flannel*\n", "the line is a comment"],
  [true, "denyinterfaces eth1 wlan*\n", "other links are denied"],
  [false, "denyinterfaces eth1 flannel* cni0\n", "the pattern is there"],
  [false, "denyinterfaces eth1,flannel.*  # overlay\n", "commas are as good as blanks"],
  [false, "option rapid_commit\n\tdenyinterfaces flannel.[0-9]\n", "a class takes it in"],
  [true, "denyinterfaces flannel\n", "a pattern is of the whole name"],
  [false, "allowinterfaces eth0\n", "only others are allowed"],
  [true, "allowinterfaces *\n", "all are allowed"],
  [true, "denyinterfaces [\n", "the pattern is none"],
];

for (const [hasAdvice, text, why] of configurations) {
  Deno.test(`dhcpcdAdvice() has ${hasAdvice ? "a line to add" : "nothing to say"}: ${why}`, () =>
    inRoot(["etc"], async (root) => {
      if (text !== undefined) await Deno.writeTextFile(`${root}/etc/dhcpcd.conf`, text);
      const advice = dhcpcdAdvice(root);
      assertEquals(advice !== undefined, hasAdvice);
      if (advice === undefined) return;
      assertMatch(advice, /`denyinterfaces flannel\* cni0 veth\?{8}` to .*\/etc\/dhcpcd\.conf/);
      const line = /`(.*)`/.exec(advice)![1]!;
      await Deno.writeTextFile(`${root}/etc/dhcpcd.conf`, `${line}\n`);
      assert(dhcpcdAdvice(root) === undefined, "who follows the advice is not told again");
    }));
}
