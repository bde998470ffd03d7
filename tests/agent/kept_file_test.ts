import { assertEquals } from "@std/assert";
import { KeptFile } from "../../src/agent/kept_file.ts";

Deno.test("KeptFile says while its file can't be written, and no longer", () => {
  const file = new KeptFile("the boot identity /run/flannel/boot.json");
  const full = () => {
    throw new Error("No space left on device (os error 28): open '/run/flannel/boot.json.1'");
  };
  assertEquals([file.write(() => {}), file.conditions], [true, []]);
  assertEquals(file.write(full), false);
  assertEquals(file.conditions, [{
    code: "state-not-written",
    sentence:
      "the boot identity /run/flannel/boot.json can't be written: No space left on device (os error 28)",
  }]);
  assertEquals([file.write(() => {}), file.conditions], [true, []]);
});
