import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";

// The recipes of .github/CONTRIBUTING.md, tried: each is followed in a copy of the house, which must then hold.

const ROOT = new URL("../", import.meta.url).pathname;
/** What a copy needs to be type checked and run. */
const COPIED = [
  "deno.json",
  "deno.lock",
  "import_map.json",
  "mod.ts",
  "src",
  "wasm/build",
  ".ci",
  "docs",
  "tests",
];

class House implements AsyncDisposable {
  readonly #touched = new Set<string>();

  private constructor(readonly folder: string) {}

  static async copy(): Promise<House> {
    const folder = await Deno.makeTempDir({ prefix: "lodentest-house-" });
    for (const path of COPIED) {
      const parent = `${folder}/${path}`.replace(/\/[^/]*$/, "");
      await Deno.mkdir(parent, { recursive: true });
      await run("cp", "-r", `${ROOT}${path}`, parent);
    }
    return new House(folder);
  }

  /** The files that were written, in the order of their names. */
  get touched(): readonly string[] {
    return [...this.#touched].sort();
  }

  async write(path: string, text: string): Promise<void> {
    this.#touched.add(path);
    await Deno.writeTextFile(`${this.folder}/${path}`, text);
  }

  /** Puts `addition` behind `place`, which is there once. */
  async addBehind(path: string, place: string, addition: string): Promise<void> {
    const text = await Deno.readTextFile(`${this.folder}/${path}`);
    assertEquals(text.split(place).length, 2, `${path} has "${place}" once`);
    await this.write(path, text.replace(place, () => place + addition));
  }

  async deno(...args: string[]): Promise<string> {
    return await run(Deno.execPath(), ...args, { cwd: this.folder });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

async function run(program: string, ...rest: (string | { readonly cwd: string })[]): Promise<string> {
  const options = rest.find((one) => typeof one === "object") ?? {};
  const args = rest.filter((one) => typeof one === "string");
  const { success, stdout, stderr } = await new Deno.Command(program, {
    args,
    env: { NO_COLOR: "1" },
    stdin: "null",
    ...options,
  }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assertEquals(success, true, `${program} ${args.join(" ")}\n${out}\n${error}`);
  return out!;
}

/** Stands for the test that a newcomer writes. */
function emptyTest(name: string): string {
  return `Deno.test(${JSON.stringify(name)}, () => {});\n`;
}

/** The floors, and that each file has a test, hold in the copy too. */
async function holds(house: House): Promise<void> {
  await house.deno("test", "-q", "--allow-read", "--no-check", "tests/imports_test.ts");
}

Deno.test("a backend is a file with its test and two rows: what net-conf.json may name, and who makes it", async () => {
  await using house = await House.copy();
  await house.write(
    "src/overlay/backend/pretend.ts",
    `import { allocBackend } from "./alloc.ts";
import type { Backend, BackendContext } from "./backend.ts";
import type { PlainOptions } from "./host_gw.ts";

/** Does what alloc does, by another name. */
export function pretendBackend(options: PlainOptions, context: BackendContext): Backend {
  return { ...allocBackend(options, context), type: "pretend" };
}
`,
  );
  await house.addBehind("src/config/backend_types.ts", '  "alloc": "here",\n', '  "pretend": "here",\n');
  await house.addBehind(
    "src/overlay/backend/make_backend.ts",
    'import { allocBackend } from "./alloc.ts";\n',
    'import { pretendBackend } from "./pretend.ts";\n',
  );
  await house.addBehind(
    "src/overlay/backend/make_backend.ts",
    '  "alloc": allocBackend,\n',
    '  "pretend": pretendBackend,\n',
  );
  assertEquals(house.touched.length, 3);
  await house.write(
    "tests/overlay/backend/pretend_test.ts",
    emptyTest("a pretended backend is alloc by another name"),
  );
  await house.deno("check", "-q", "mod.ts");
  await holds(house);
  await house.write(
    "made.ts",
    `import { parseNetworkConfig } from "./src/config/network.ts";
import { makeBackend } from "./src/overlay/backend/make_backend.ts";
const text = '{"Network": "10.244.0.0/16", "Backend": {"Type": "Pretend", "MTU": 1400}}';
const { config } = parseNetworkConfig(text, { source: "it", overrides: [], masqueradeExclude: [] });
const networks = config.families.map(({ network }) => network);
const { type, overlayMtuBytes } = makeBackend(config.backend, { networks, hasBlackholeRoute: false });
console.log(type, overlayMtuBytes({ addresses: [] } as never));
`,
  );
  assertEquals(
    (await house.deno("run", "-q", "--allow-read", "--no-check", "made.ts")).trim(),
    "pretend 1400",
  );
});

Deno.test("a condition is a row of the catalogue, a line that sets it, and a line of a test", async () => {
  await using house = await House.copy();
  await house.addBehind(
    "src/model/reasons.ts",
    "const DEGRADED = {\n",
    `  "clock-stopped": {
    cause: "The clock of this host stands still.",
    remedy: "Wind the clock up.",
  },
`,
  );
  await house.addBehind(
    "src/status/health.ts",
    "    ...passConditions(lastPass),\n",
    '    ...some("clock-stopped", Number.isNaN(lastPass.durationMs) ? "the clock stands still" : undefined),\n',
  );
  await house.addBehind(
    "tests/status/health_test.ts",
    "const noted: [name: string, facts: Partial<HealthFacts>, note: string][] = [\n",
    `  ["the clock stands still", { lastPass: pass({ durationMs: NaN }) }, "clock-stopped: the clock stands still"],
`,
  );
  assertEquals(house.touched.length, 3);
  // The documentation's table is written, not edited.
  const test = ["test", "-q", "--allow-all", "--no-check"];
  await run("env", "LODEN_WRITE=1", Deno.execPath(), ...test, "tests/model/reasons_test.ts", {
    cwd: house.folder,
  });
  assertStringIncludes(await Deno.readTextFile(`${house.folder}/docs/conditions.md`), "`clock-stopped` |");
  const told = await house.deno(...test, "tests/model/reasons_test.ts", "tests/status/health_test.ts");
  assertStringIncludes(told, "when the clock stands still");
});

Deno.test("a command is a file with its test and a row", async () => {
  await using house = await House.copy();
  await house.write(
    "src/command/greet.ts",
    `/** Says hello. */
export function greet(names: readonly string[], print: (text: string) => void): void {
  print(\`hello \${names.join(" and ")}\`);
}
`,
  );
  await house.addBehind(
    "src/command/commands.ts",
    "export const COMMANDS: Readonly<Record<string, Command>> = {\n",
    `  "greet": {
    summary: "say hello",
    run: async (names, { output }) => {
      const { greet } = await import("./greet.ts");
      greet(names, (text) => output.say(text));
      return EXIT.done;
    },
  },
`,
  );
  assertEquals(house.touched.length, 2);
  await house.write("tests/command/greet_test.ts", emptyTest("hello is said"));
  await house.deno("check", "-q", "mod.ts");
  await holds(house);
  assertEquals(
    await house.deno("run", "-q", "-A", "--no-check", "mod.ts", "greet", "a", "b"),
    "hello a and b\n",
  );
  assertMatch(
    await house.deno("run", "-q", "-A", "--no-check", "mod.ts", "help"),
    /\n {2}greet +say hello\n/,
  );
});
