import { assertEquals } from "@std/assert";
import { descriptorLimit, raiseDescriptorLimit } from "../../src/linux/descriptor_limit.ts";
import { Libc } from "../../src/linux/libc.ts";

const ENOUGH = 65_536n;

Deno.test("raiseDescriptorLimit() gives this process what it may have, up to what is of use, and takes nothing", () => {
  using libc = new Libc();
  const { soft, hard } = descriptorLimit(libc);
  raiseDescriptorLimit(libc);
  const wanted = hard < ENOUGH ? hard : ENOUGH;
  assertEquals(descriptorLimit(libc), { soft: soft > wanted ? soft : wanted, hard });
});
