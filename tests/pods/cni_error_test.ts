import { assertEquals } from "@std/assert";
import { CNI_CODE, CniError, formatCniError } from "../../src/pods/cni_error.ts";

Deno.test("formatCniError() shows what is not seen in a delegate's words, or the agent's, as its number", () => {
  const error = new CniError(CNI_CODE.internal, "no \u202edrow\u001b[2J", "line\ntwo\u2028");
  assertEquals(JSON.parse(formatCniError(error, "1.0.0")), {
    cniVersion: "1.0.0",
    code: CNI_CODE.internal,
    msg: "no \\u202edrow\\u001b[2J",
    details: "line\ntwo\\u2028",
  });
});
