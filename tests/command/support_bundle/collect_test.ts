import { assert, assertEquals } from "@std/assert";
import { collect, type Entry } from "../../../src/command/support_bundle/collect.ts";
import { Redactor } from "../../../src/command/support_bundle/redactor.ts";
import { summary } from "../../../src/command/support_bundle/support_bundle.ts";
import type { DoctorPlace } from "../../../src/command/doctor/place.ts";

const { signal } = new AbortController();
const NOWHERE = {} as DoctorPlace;
const redactor = new Redactor(["canary-one"]);

Deno.test("what hangs, fails, or is too much is named, and everything else is collected", async () => {
  const entries: Entry[] = [
    { name: "a", collect: () => "text" },
    { name: "hangs", limitMs: 10, collect: () => new Promise<never>(() => {}) },
    {
      name: "fails",
      collect: () => {
        throw new Error("refused with canary-one");
      },
    },
    { name: "secret", collect: () => Promise.resolve("it is canary-one") },
    ...Array.from(
      { length: 10 },
      (_, at): Entry => ({ name: `large-${at}`, collect: () => "x y\n".repeat(400_000) }),
    ),
    { name: "last", collect: () => "end" },
  ];
  const { files, collected } = await collect(entries, NOWHERE, { redactor, signal });
  assertEquals(collected.slice(0, 4), [
    { name: "a", bytes: 4 },
    { name: "hangs", reason: "it did not come within 0.01 s" },
    { name: "fails", reason: "refused with [secret]" },
    { name: "secret", bytes: 14 },
  ]);
  assert(collected.filter(({ name }) => name.startsWith("large")).every(({ isCut }) => isCut));
  const size = files.reduce((sum, { bytes }) => sum + bytes.length, 0);
  assert(size <= 4 << 20, `${size}`);
  const text = summary("/x.tar.gz", 3000, collected).join("\n");
  assert(text.includes("not collected: hangs: it did not come"), text);
  assert(text.includes("/x.tar.gz, 3 KiB"), text);
});
