import { assertEquals } from "@std/assert";
import { isPlugin } from "../../src/plugin/called_as_plugin.ts";

const calls: [
  args: string[],
  command: string | undefined,
  program: string,
  expected: boolean,
  why: string,
][] = [
  [[], "ADD", "/opt/cni/bin/flannel", true, "a runtime starts it"],
  [[], undefined, "/opt/cni/bin/flannel", true, "a person asks the plugin what it is"],
  [[], "ADD", "/opt/cni/bin/loden", true, "a conflist can name it loden"],
  [[], undefined, "/usr/bin/loden", false, "a person asks for help"],
  [[], "", "/usr/bin/loden", false, "an empty variable is none"],
  [["agent"], "ADD", "/opt/cni/bin/flannel", false, "who says what to do means it"],
  [[], "ADD", "/opt/bin/flanneld", false, "that is the agent's name"],
];
for (const [args, command, program, expected, why] of calls) {
  Deno.test(`isPlugin() is ${expected} for ${program} ${args} with CNI_COMMAND=${command}: ${why}`, () => {
    assertEquals(isPlugin({ args, command, program }), expected);
  });
}
