import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CniError } from "../../src/pods/cni_error.ts";
import { Delegates } from "../../src/plugin/delegate.ts";

const LARGE = JSON.stringify({ text: "x".repeat(1 << 20) });

async function withPlugin(
  script: string,
  body: (delegates: Delegates, folder: string) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "lodentest-delegate-" });
  try {
    await Deno.writeTextFile(`${folder}/fake`, `#!/bin/sh\n${script}\n`);
    await Deno.chmod(`${folder}/fake`, 0o755);
    await body(new Delegates([`${folder}/missing`, folder]), folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("Delegates.call() gives a plugin the verb, the variables and its configuration, and returns what it prints", async () => {
  await withPlugin('printf "%s %s %s " "$CNI_COMMAND" "$CNI_IFNAME" "$PATH"; cat', async (delegates) => {
    const printed = await delegates.call({
      verb: "DEL",
      type: "fake",
      config: '{"ä":1}',
      variables: { CNI_IFNAME: "net1" },
    });
    assertEquals(printed, `DEL net1 ${Deno.env.get("PATH")} {"ä":1}`);
  });
});

const failures: [script: string, code: number, message: string, details: string | undefined, why: string][] =
  [
    [
      'echo \'{"code":11,"msg":"busy","details":"later"}\'; exit 1',
      11,
      "busy",
      "later",
      "it says what is wrong",
    ],
    ['echo \'{"code":7,"msg":"bad","details":""}\'; exit 1', 7, "bad", undefined, "no details are none"],
    ["exit 2", 999, "failed to delegate ADD: plugin fake ended with 2", "", "it says nothing"],
    [
      "echo panic; exit 2",
      999,
      "failed to delegate ADD: plugin fake ended with 2",
      "panic\n",
      "it says something else",
    ],
    ["kill -9 $$", 999, "failed to delegate ADD: plugin fake was ended by SIGKILL", "", "it was killed"],
  ];
for (const [script, code, message, details, why] of failures) {
  Deno.test(`Delegates.call() of a plugin that does \`${script}\` fails with ${code}: ${why}`, async () => {
    await withPlugin(script, async (delegates) => {
      const error = await assertRejects(
        () => delegates.call({ verb: "ADD", type: "fake", config: LARGE }),
        CniError,
      );
      assertEquals([error.code, error.message, error.details], [code, message, details]);
    });
  });
}

Deno.test("Delegates.call() does not mind a plugin that does not read its configuration", async () => {
  await withPlugin("echo done", async (delegates) => {
    for (let round = 0; round < 30; round++) {
      assertEquals(
        await delegates.call({ verb: "ADD", type: "fake", config: round % 2 ? LARGE : "{}" }),
        "done\n",
      );
    }
  });
});

Deno.test("Delegates.call() takes no endless answer", async () => {
  await withPlugin("exec yes", async (delegates) => {
    const error = await assertRejects(
      () => delegates.call({ verb: "ADD", type: "fake", config: "{}" }),
      CniError,
    );
    assertStringIncludes(error.message, "printed more than");
  });
});

const invalid: [type: string, code: number][] = [["none", 999], ["../fake", 7], ["", 7], ["a\0b", 999]];
for (const [type, code] of invalid) {
  Deno.test(`Delegates.find() finds no plugin ${JSON.stringify(type)}`, async () => {
    await withPlugin("", async (delegates, folder) => {
      const error = await assertRejects(() => delegates.call({ verb: "ADD", type, config: "{}" }), CniError);
      assertEquals(error.code, code);
      if (code === 999) {
        assertEquals(error.message, `failed to find plugin "${type}" in path [${folder}/missing ${folder}]`);
      }
    });
  });
}

Deno.test("Delegates.call() says why a plugin can't be started", async () => {
  await withPlugin("", async (delegates, folder) => {
    await Deno.chmod(`${folder}/fake`, 0o644);
    const error = await assertRejects(
      () => delegates.call({ verb: "ADD", type: "fake", config: "{}" }),
      CniError,
    );
    assertEquals(error.message, `failed to delegate ADD: cannot start ${folder}/fake: this user may not`);
  });
});

Deno.test("Delegates.call() waits for a plugin that is being replaced", async () => {
  await withPlugin("", async (delegates, folder) => {
    await Deno.copyFile("/bin/echo", `${folder}/busy`);
    const writing = await Deno.open(`${folder}/busy`, { write: true });
    let isClosed = false;
    const timer = setTimeout(() => {
      isClosed = true;
      writing.close();
    }, 250);
    assertEquals(await delegates.call({ verb: "ADD", type: "busy", config: "{}" }), "\n");
    assertEquals(isClosed, true);
    clearTimeout(timer);
  });
});

Deno.test("Delegates.versions() reads what a plugin says, and refuses what it can't read", async () => {
  await withPlugin('echo \'{"supportedVersions":["1.0.0"]}\'', async (delegates) => {
    assertEquals(await delegates.versions("fake"), ["1.0.0"]);
  });
  for (const answer of ["", "{}", '{"supportedVersions":[1]}']) {
    await withPlugin(`echo '${answer}'`, async (delegates) => {
      await assertRejects(
        () => delegates.versions("fake"),
        CniError,
        "does not say which versions it speaks",
      );
    });
  }
});

Deno.test("Delegates.call() waits for no process that a plugin has started and left", async () => {
  await withPlugin('sleep 1000 & echo $! > "$(dirname "$0")/pid"; echo "{}"', async (delegates, folder) => {
    const printed = await delegates.call({ verb: "ADD", type: "fake", config: LARGE });
    assertEquals(printed, "{}\n");
    Deno.kill(Number(await Deno.readTextFile(`${folder}/pid`)), "SIGKILL");
  });
});
