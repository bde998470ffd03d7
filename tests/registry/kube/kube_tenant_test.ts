import { assertEquals, assertThrows } from "@std/assert";
import { NodeTenant } from "../../../src/registry/kube/kube_tenant.ts";
import { ContestedError } from "../../../src/registry/registry_error.ts";

const ME = { name: "a", mac: "52:54:00:00:00:01" };
const OTHER = { name: "b", mac: "52:54:00:00:00:02" };
const MINUTE_MS = 60_000;

Deno.test("NodeTenant writes over what its predecessor left", () => {
  const tenant = new NodeTenant(() => 0);
  tenant.check("n1", OTHER, ME);
  // The first write may be refused; that does not bring the predecessor back to life.
  tenant.check("n1", OTHER, ME);
  tenant.wrote(OTHER, ME);
  tenant.check("n1", ME, ME);
});

Deno.test("NodeTenant gives way to a predecessor that writes again, and asks more and more rarely", () => {
  let nowMs = 0;
  const tenant = new NodeTenant(() => nowMs);
  tenant.wrote(OTHER, ME);
  let writes = 0;
  for (; nowMs < 60 * MINUTE_MS; nowMs += 10_000) {
    try {
      tenant.check("n1", OTHER, ME);
      tenant.wrote(OTHER, ME);
      writes++;
    } catch (error) {
      assertEquals(error instanceof ContestedError, true);
    }
  }
  assertEquals(writes, 5, "after 1, 2, 4, 8 and 16 minutes");
  assertThrows(() => tenant.check("n1", OTHER, ME), ContestedError, "b (MAC 52:54:00:00:00:02) is alive");
});

Deno.test("NodeTenant stands against a newcomer, and against its own other MAC", () => {
  const tenant = new NodeTenant(() => 0);
  tenant.wrote(undefined, ME);
  for (let time = 1; time <= 3; time++) {
    tenant.check("n1", OTHER, ME);
    tenant.wrote(OTHER, ME);
  }
  const replaced = { ...ME, mac: "52:54:00:00:00:03" };
  tenant.check("n1", ME, replaced);
  tenant.wrote(ME, replaced);
  tenant.check("n1", replaced, replaced);
});
