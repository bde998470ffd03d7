import { assertEquals } from "@std/assert";
import { effectiveUser } from "../../src/linux/effective_user.ts";

Deno.test("effectiveUser() is whom this process acts as", () => {
  assertEquals(effectiveUser(), Deno.uid());
});
