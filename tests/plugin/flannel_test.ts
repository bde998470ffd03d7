import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { lodenAnswer, programAnswer } from "./flannel_answers.ts";
import { FLANNEL_CASES } from "./flannel_cases.ts";

const ANSWERS = new URL("flannel_answers.txt", import.meta.url);
const PAGE = new URL("../../docs/cni-plugin.md", import.meta.url);
/** Names flannel's plugin, as built from its sources: the answers are written anew. */
const PROGRAM = Deno.env.get("LODEN_FLANNEL_PLUGIN");
const HEAD =
  `What flannel's plugin makes of each case of flannel_cases.ts, and Loden's where that is something else.
Written by LODEN_FLANNEL_PLUGIN=PATH deno test -A tests/plugin/flannel_test.ts
with flannel-io/cni-plugin at 092e6d26, built by "CGO_ENABLED=0 go build" of Go 1.26; delegates are scripts that note
what they are sent.
`;

if (PROGRAM !== undefined) {
  const parts = [HEAD];
  for (const asked of FLANNEL_CASES) {
    parts.push(`## ${asked.why}\n${await programAnswer(PROGRAM, asked)}\n`);
    if (asked.row !== undefined) parts.push(`# Loden: ${asked.row}\n${await lodenAnswer(asked)}\n`);
  }
  await Deno.writeTextFile(ANSWERS, parts.join("\n"));
}

/** What is written down of each case, by its name. */
const answers = new Map(
  (await Deno.readTextFile(ANSWERS)).split("\n## ").slice(1).map((part) => {
    const [flannels = "", lodens] = part.split("\n# Loden: ");
    const body = (text: string) => text.slice(text.indexOf("\n") + 1).trimEnd();
    return [flannels.split("\n")[0]!, { flannel: body(flannels), loden: lodens && body(lodens) }];
  }),
);

for (const asked of FLANNEL_CASES) {
  const { why, row } = asked;
  const known = answers.get(why);
  if (row === undefined) {
    Deno.test(`the plugin does as flannel's: ${why}`, async () => {
      assertEquals(await lodenAnswer(asked), known?.flannel);
    });
    continue;
  }
  Deno.test(`the plugin does something else than flannel's, and the documentation says why: ${why}`, async () => {
    assertEquals(await lodenAnswer(asked), known?.loden);
    assertNotEquals(known?.loden, known?.flannel);
    assert((await Deno.readTextFile(PAGE)).includes(`\n| ${row} |`), `${PAGE.pathname} has no row "${row}"`);
  });
}

Deno.test("what is written down is of these cases, each once", () => {
  assertEquals([...answers.keys()], FLANNEL_CASES.map(({ why }) => why));
});

Deno.test("the documentation says how many of them end alike", async () => {
  const alike = FLANNEL_CASES.filter(({ row }) => row === undefined).length;
  const words = `Of these ${FLANNEL_CASES.length} cases ${alike} end alike`;
  assert((await Deno.readTextFile(PAGE)).includes(words), words);
});
