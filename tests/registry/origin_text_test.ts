import { assertEquals } from "@std/assert";
import {
  describeOrigin,
  formatOrigin,
  isSameOrigin,
  originSchema,
  saidBy,
} from "../../src/registry/origin_text.ts";
import type { Origin } from "../../src/model/lease.ts";

const WHOLE: Origin = {
  machine: "0123456789abcdef0123456789abcdef",
  mac: "52:54:00:12:34:56",
  name: "node7",
  probePort: 8475,
};

Deno.test("originSchema reads what formatOrigin() wrote", () => {
  for (const origin of [WHOLE, { name: "node7" }, { mac: WHOLE.mac! }, { probePort: 8475 }]) {
    assertEquals(originSchema.parse(JSON.parse(JSON.stringify(formatOrigin(origin)))), origin);
  }
  assertEquals([formatOrigin({}), formatOrigin(undefined), saidBy({})], [undefined, undefined, {}]);
});

const hostile: [value: unknown, read: Origin | undefined, why: string][] = [
  [undefined, undefined, "flanneld writes none"],
  ["node7", undefined, "it is text"],
  [{ Machine: "short", Name: "node7" }, { name: "node7" }, "one member is wrong, and the others hold"],
  [{ Name: "two\nlines" }, {}, "a name can't end a line of the log"],
  [{ Name: "x".repeat(65) }, {}, "a name is longer than any host's"],
  [{ Card: "52:54:00:12:34:5G" }, {}, "its card is no MAC"],
  [{ Probe: 53 }, {}, "nobody is to send probes to where a service may listen"],
  [{ Probe: 65536 }, {}, "there is no such port"],
  [{ Probe: "8475" }, {}, "a port is a number"],
  [[], undefined, "it is a list"],
];

for (const [value, read, why] of hostile) {
  Deno.test(`originSchema reads ${JSON.stringify(read)} when ${why}`, () => {
    assertEquals(originSchema.parse(value), read);
  });
}

Deno.test("describeOrigin() names a host as a person would look for it", () => {
  assertEquals(
    [WHOLE, { name: "node7" }, { machine: WHOLE.machine! }, {}, undefined].map(describeOrigin),
    ["node7 (MAC 52:54:00:12:34:56)", "node7", `machine ${WHOLE.machine}`, "", ""],
  );
});

Deno.test("isSameOrigin() takes what is not said for another than what is", () => {
  assertEquals(isSameOrigin(WHOLE, { ...WHOLE }), true);
  assertEquals(isSameOrigin(WHOLE, { name: "node7" }), false);
  assertEquals(isSameOrigin(undefined, {}), true);
});
