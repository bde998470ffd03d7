import { assertEquals, assertMatch } from "@std/assert";
import type { KernelVersion } from "../../src/host/kernel_version.ts";
import { chooseTxChecksum, type TxChecksumFacts } from "../../src/host/tx_checksum.ts";

const GOOD: TxChecksumFacts = { drivers: ["virtio_net"], kernel: [6, 1, 0], isBehindNat: false };

const choices: [
  mode: "auto" | "on" | "off",
  facts: Partial<TxChecksumFacts>,
  isOn: boolean | undefined,
  reason: RegExp,
  why: string,
][] = [
  ["on", {}, true, /^-vxlan-tx-checksum=on/, "a person asks for it"],
  [
    "on",
    { drivers: ["vmxnet3"], kernel: [4, 14, 0] },
    true,
    /=on/,
    "a person asks for it against all advice",
  ],
  ["off", {}, false, /^-vxlan-tx-checksum=off/, "a person asks for it"],
  ["auto", {}, undefined, /known to spoil/, "nothing is known to be broken"],
  ["auto", { drivers: [] }, undefined, /known to spoil/, "no driver says its name"],
  ["auto", { kernel: undefined }, undefined, /known to spoil/, "the kernel's version is not known"],
  ["auto", { drivers: ["vmxnet3"] }, false, /vmxnet3/, "VMware's card"],
  ["auto", { drivers: ["bonding", "virtio_net", "vmxnet3"] }, false, /vmxnet3/, "VMware's card in a bond"],
  ["auto", { drivers: ["vmxnet"] }, undefined, /known to spoil/, "another driver of a like name"],
  [
    "auto",
    { kernel: [5, 4, 40] },
    false,
    /Linux 5\.4\.40 .*-vxlan-tx-checksum=on/,
    "a kernel before the repair",
  ],
  ["auto", { isDamaging: true }, false, /probes showed/, "probes have shown that what is sent is damaged"],
  ["on", { isDamaging: true }, true, /=on/, "a person asks for it whatever probes show"],
  ["auto", { isBehindNat: true }, false, /NAT/, "others know this host by a NAT's address"],
];

for (const [mode, facts, isOn, reason, why] of choices) {
  Deno.test(`chooseTxChecksum() with ${mode} says ${isOn ?? "as it is"}: ${why}`, () => {
    const choice = chooseTxChecksum(mode, { ...GOOD, ...facts });
    assertEquals(choice.isOn, isOn);
    assertMatch(choice.reason, reason);
  });
}

/** The first repaired kernel of each branch, and what stands before it. */
const kernels: [kernel: KernelVersion, isMended: boolean][] = [
  [[3, 10, 0], false],
  [[4, 14, 180], false],
  [[4, 14, 181], true],
  [[4, 15, 200], false],
  [[4, 19, 122], false],
  [[4, 19, 123], true],
  [[5, 3, 18], false],
  [[5, 4, 41], true],
  [[5, 5, 19], false],
  [[5, 6, 12], false],
  [[5, 6, 13], true],
  [[5, 7, 0], true],
  [[6, 0, 0], true],
  [[10, 0, 0], true],
];

for (const [kernel, isMended] of kernels) {
  Deno.test(`chooseTxChecksum() takes Linux ${kernel.join(".")} for ${isMended ? "mended" : "broken"}`, () => {
    assertEquals(chooseTxChecksum("auto", { ...GOOD, kernel }).isOn, isMended ? undefined : false);
  });
}
