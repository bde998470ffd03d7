import { assertEquals } from "@std/assert";
import { FAMILIES } from "../../src/model/address.ts";
import { isOurVtep, isVtepName, vtepName } from "../../src/model/vtep.ts";

const vxlan = { vni: 7, port: 8472, local: undefined, underlayLinkIndex: 2, learning: false, gbp: false };

Deno.test("vtepName() is flannel's, by family and VNI", () => {
  assertEquals(FAMILIES.map((family) => vtepName(family, 16_777_215)), [
    "flannel.16777215",
    "flannel-v6.16777215",
  ]);
});

for (
  const [name, isName, isOurs] of [
    ["flannel.7", true, true],
    ["flannel-v6.7", true, true],
    ["flannel.8", true, false],
    ["flannel.7a", false, false],
    ["flannel.", false, false],
    ["flannel-wg", false, false],
    ["vxlan.7", false, false],
  ] as const
) {
  Deno.test(`a VXLAN link of VNI 7 called ${name} is ${isOurs ? "" : "no "}VTEP of ours`, () => {
    const found = [isVtepName(name), isOurVtep({ name, vxlan: { ...vxlan, isForeign: false } })];
    assertEquals(found, [isName, isOurs]);
  });
}

Deno.test("a link that is no VXLAN is no VTEP of ours, whatever it is called", () => {
  assertEquals(isOurVtep({ name: "flannel.7", vxlan: undefined }), false);
});
