import { assertEquals, assertStringIncludes } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";

const ADD = "CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/x CNI_IFNAME=eth0 CNI_PATH=/x";

// What a runtime, or a program that plays one, may do to a process; printf(1) makes the bytes that are no UTF-8.
const oddities: [why: string, script: string, code: number, words: string][] = [
  ["standard input is closed", `env -i ${ADD} "$P" <&-`, 1, '"code": 6'],
  ["standard input is a folder", `env -i ${ADD} "$P" </`, 1, '"code": 5'],
  ["standard input is not UTF-8", `printf '\\377\\376{' | env -i ${ADD} "$P"`, 1, '"code": 6'],
  [
    "a variable is not UTF-8",
    `env -i CNI_COMMAND=VERSION "X=$(printf '\\377')" "$P"`,
    0,
    '"cniVersion":"1.1.0"',
  ],
  [
    "the container's id is not UTF-8",
    `env -i ${ADD} "CNI_CONTAINERID=$(printf '\\377')" "$P" </dev/null`,
    1,
    '"code": 4',
  ],
  [
    "there is no home and no PATH",
    `cd /; env -i CNI_COMMAND=VERSION HOME=/nowhere "$P"`,
    0,
    '"cniVersion":"1.1.0"',
  ],
  ["it may open few files", `ulimit -n 16; env -i ${ADD} "$P" </dev/null`, 1, '"code": 6'],
];
for (const [why, script, code, words] of oddities) {
  Deno.test(`the plugin answers with one JSON document when ${why}`, async () => {
    const output = await new Deno.Command("sh", {
      args: ["-c", script],
      env: { P: await compiledBinary() },
      stdin: "null",
    }).output();
    const stdout = new TextDecoder().decode(output.stdout);
    assertEquals(output.code, code, stdout + new TextDecoder().decode(output.stderr));
    JSON.parse(stdout);
    assertStringIncludes(stdout, words);
  });
}
