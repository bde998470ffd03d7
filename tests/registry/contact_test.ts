import { assertEquals } from "@std/assert";
import { Contact } from "../../src/registry/contact.ts";

Deno.test("Contact knows whether a registry is followed, why not, and tells when it is back", () => {
  let [nowMs, returns] = [1000, 0];
  const contact = new Contact({ now: () => nowMs, back: () => returns++ });
  const state = () => [contact.heardAtMs, contact.reason, contact.isLost, returns];
  const reconnects = () => contact.reconnects;
  assertEquals(state(), [undefined, "the registry is not followed yet", false, 0]);
  contact.heard();
  contact.heard();
  assertEquals(state(), [1000, undefined, false, 0]);
  nowMs = 2000;
  contact.lost("refused");
  assertEquals(state(), [1000, "refused", true, 0]);
  contact.lost("timed out");
  assertEquals(state(), [1000, "timed out", true, 0]);
  contact.heard();
  contact.heard();
  assertEquals(state(), [2000, undefined, false, 1]);
  assertEquals(reconnects(), 1);
});
