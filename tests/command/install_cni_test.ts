import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { installCni } from "../../src/command/install_cni.ts";
import { USUAL_CONFLIST } from "../../src/pods/conflist.ts";

interface Case {
  readonly why: string;
  readonly environment?: Record<string, string>;
  readonly args?: string[];
  readonly before?: Record<string, string>;
  readonly files: Record<string, string>;
  readonly printed: string[];
}

const CHAIN = '{"name":"n","plugins":[{"type":"flannel"}]}';

/** Folders are named relative to the test's own, which stands for /. */
const cases: Case[] = [
  {
    why: "both where flannel has them",
    files: { "bin/flannel": "program", "net.d/10-flannel.conflist": USUAL_CONFLIST },
    printed: ["bin/flannel installed", "net.d/10-flannel.conflist written"],
  },
  {
    why: "nothing anew where all is as it must be",
    before: { "bin/flannel": "program", "net.d/10-flannel.conflist": USUAL_CONFLIST },
    files: { "bin/flannel": "program", "net.d/10-flannel.conflist": USUAL_CONFLIST },
    printed: ["bin/flannel installed", "net.d/10-flannel.conflist is as it must be already"],
  },
  {
    why: "the plugin alone where the agent renders the conflist",
    environment: { CNI_CONF_NAME: "" },
    files: { "bin/flannel": "program" },
    printed: ["bin/flannel installed"],
  },
  {
    why: "the conflist alone, under another name, with a warning of what is used instead",
    environment: { SKIP_CNI_BINARIES: "bridge,flannel", CNI_CONF_NAME: "99-x.conflist" },
    before: { "net.d/10-calico.conflist": "{}" },
    files: { "net.d/10-calico.conflist": "{}", "net.d/99-x.conflist": USUAL_CONFLIST },
    printed: [
      "plugin skipped, as SKIP_CNI_BINARIES asks",
      "net.d/99-x.conflist written",
      "warning: 10-calico.conflist sorts before 99-x.conflist in net.d: the runtime uses that one",
    ],
  },
  {
    why: "no newer plugin where that is not wanted",
    environment: { UPDATE_CNI_BINARIES: "false", CNI_CONF_NAME: "" },
    before: { "bin/flannel": "mine" },
    files: { "bin/flannel": "mine" },
    printed: ["bin/flannel left alone, as UPDATE_CNI_BINARIES asks"],
  },
  {
    why: "the conflist of a variable",
    environment: { SKIP_CNI_BINARIES: "true", CNI_NETWORK_CONFIG: CHAIN },
    files: { "net.d/10-flannel.conflist": CHAIN },
    printed: ["plugin skipped, as SKIP_CNI_BINARIES asks", "net.d/10-flannel.conflist written"],
  },
  {
    why: "the conflist that is named",
    environment: { SKIP_CNI_BINARIES: "true" },
    args: ["source.json"],
    before: { "source.json": CHAIN },
    files: { "source.json": CHAIN, "net.d/10-flannel.conflist": CHAIN },
    printed: ["plugin skipped, as SKIP_CNI_BINARIES asks", "net.d/10-flannel.conflist written"],
  },
  {
    why: "the MTU in Calico's placeholder",
    environment: {
      SKIP_CNI_BINARIES: "true",
      CNI_MTU: "1400",
      CNI_NETWORK_CONFIG: '{"name":"n","plugins":[{"type":"flannel","delegate":{"mtu":__CNI_MTU__}}]}',
    },
    files: {
      "net.d/10-flannel.conflist": '{"name":"n","plugins":[{"type":"flannel","delegate":{"mtu":1400}}]}',
    },
    printed: ["plugin skipped, as SKIP_CNI_BINARIES asks", "net.d/10-flannel.conflist written"],
  },
  {
    why: "one plugin alone as a list",
    environment: { SKIP_CNI_BINARIES: "true", CNI_NETWORK_CONFIG: '\ufeff{"name":"n","type":"flannel"}' },
    files: {
      "net.d/10-flannel.conflist": `${
        JSON.stringify({ name: "n", plugins: [{ name: "n", type: "flannel" }] }, undefined, 2)
      }\n`,
    },
    printed: ["plugin skipped, as SKIP_CNI_BINARIES asks", "net.d/10-flannel.conflist written"],
  },
  {
    why: "the MTU where there is no placeholder",
    environment: { SKIP_CNI_BINARIES: "true", CNI_MTU: "1400", CNI_NETWORK_CONFIG: CHAIN },
    files: {
      "net.d/10-flannel.conflist": `${
        JSON.stringify({ name: "n", plugins: [{ type: "flannel", delegate: { mtu: 1400 } }] }, undefined, 2)
      }\n`,
    },
    printed: ["plugin skipped, as SKIP_CNI_BINARIES asks", "net.d/10-flannel.conflist written"],
  },
];

async function withRoot(body: (root: string) => void): Promise<void> {
  const root = await Deno.makeTempDir({ prefix: "lodentest-installer-" });
  try {
    await Deno.mkdir(`${root}/bin`);
    await Deno.mkdir(`${root}/net.d`);
    await Deno.writeTextFile(`${root}/loden`, "program");
    body(root);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

function install(
  root: string,
  { environment = {}, args = [] }: Pick<Case, "environment" | "args">,
): string[] {
  const printed: string[] = [];
  installCni(args.map((name) => name.startsWith("-") ? name : `${root}/${name}`), {
    environment: { CNI_BIN_DIR: `${root}/bin`, CNI_NET_DIR: `${root}/net.d`, ...environment },
    program: `${root}/loden`,
    print: (line) => void printed.push(line.replaceAll(`${root}/`, "")),
  });
  return printed;
}

for (const { why, before = {}, files, printed, ...options } of cases) {
  Deno.test(`install-cni installs ${why}`, async () => {
    await withRoot((root) => {
      for (const [path, text] of Object.entries(before)) Deno.writeTextFileSync(`${root}/${path}`, text);
      assertEquals(install(root, options), printed);
      const found = ["bin", "net.d", "."].flatMap((folder) =>
        [...Deno.readDirSync(`${root}/${folder}`)].filter(({ isFile, name }) => isFile && name !== "loden")
          .map(({ name }) => folder === "." ? name : `${folder}/${name}`)
      );
      assertEquals(
        Object.fromEntries(found.map((path) => [path, Deno.readTextFileSync(`${root}/${path}`)])),
        files,
      );
    });
  });
}

const refused: [options: Pick<Case, "environment" | "args">, words: string][] = [
  [{ args: ["a", "b"] }, "at most the path of a conflist is expected"],
  [{ args: ["--force"] }, "at most the path of a conflist is expected"],
  [{ args: ["missing.json"] }, "there is no such file or folder"],
  [
    { environment: { CNI_BIN_DIR: "/nowhere/at/all" } },
    "Cannot install /nowhere/at/all/flannel: there is no such file or folder; name another folder with CNI_BIN_DIR",
  ],
  [{ environment: { CNI_CONF_NAME: "../x" } }, "Cannot use CNI_CONF_NAME: must be a file's name, is ../x"],
  [
    { environment: { CNI_CONF_NAME: "10-flannel.conf" } },
    "Cannot use CNI_CONF_NAME: must end in .conflist: in a file that ends so runtimes expect one plugin, and no list, " +
    "is 10-flannel.conf",
  ],
  [{ environment: { CNI_MTU: "big" } }, 'Cannot use CNI_MTU: must be a number of bytes, is "big"'],
  [
    { environment: { CNI_NETWORK_CONFIG: "{" } },
    "Cannot use the conflist in CNI_NETWORK_CONFIG: line 1 column 2",
  ],
];
for (const [options, words] of refused) {
  Deno.test(`install-cni refuses ${JSON.stringify(options)}`, async () => {
    await withRoot((root) => {
      assertStringIncludes(assertThrows(() => install(root, options), Error).message, words);
      assertEquals([...Deno.readDirSync(`${root}/net.d`)], []);
    });
  });
}

Deno.test("install-cni --help names the variables, and installs nothing", async () => {
  await withRoot((root) => {
    const [text] = install(root, { args: ["--help"] });
    for (
      const name of [
        "CNI_BIN_DIR",
        "SKIP_CNI_BINARIES",
        "UPDATE_CNI_BINARIES",
        "CNI_NET_DIR",
        "CNI_CONF_NAME",
      ]
    ) {
      assertStringIncludes(text!, name);
    }
    assertEquals([...Deno.readDirSync(`${root}/net.d`), ...Deno.readDirSync(`${root}/bin`)], []);
  });
});

Deno.test("install-cni says that only the compiled binary is a plugin", () => {
  const deps = { environment: {}, program: undefined, print: () => {} };
  assertThrows(() => installCni([], deps), Error, "only the compiled binary is one");
});
