import { assertEquals, assertRejects } from "@std/assert";
import { findProgram, runProgram } from "../../src/linux/program.ts";

Deno.test("findProgram() finds what an administrator has, and nothing else", () => {
  const found = findProgram("ip") ?? findProgram("iptables");
  assertEquals(found?.startsWith("/"), true);
  assertEquals(findProgram("no-such-program"), undefined);
});

Deno.test("runProgram() hands input over, and gives back what was printed and how it ended", async () => {
  assertEquals(await runProgram("/bin/cat", [], "*filter\nCOMMIT\n"), {
    code: 0,
    stdout: "*filter\nCOMMIT\n",
    stderr: "",
  });
  const { code, stderr } = await runProgram("/bin/cat", ["/nowhere"], "");
  assertEquals([code, stderr], [1, "/bin/cat: /nowhere: No such file or directory\n"]);
});

Deno.test("runProgram() gives nothing of this process's environment away", async () => {
  const { stdout } = await runProgram("/usr/bin/env", [], "");
  assertEquals(stdout.trim().split("\n").map((line) => line.split("=")[0]).sort(), ["LC_ALL", "PATH"]);
});

Deno.test("runProgram() takes it that a program ends before it has read", async () => {
  assertEquals((await runProgram("/bin/true", [], "x".repeat(1 << 20))).code, 0);
  await assertRejects(() => runProgram("/nowhere/program", [], ""), Error);
});
