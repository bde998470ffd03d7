import { assert, assertEquals } from "@std/assert";
import {
  allowedConflist,
  allowedNetConf,
  allowedSubnetFile,
} from "../../../src/command/support_bundle/allow.ts";

Deno.test("of a conflist of ours the keys that are known are kept, and of another's its types", () => {
  const ours = JSON.stringify({
    name: "cbr0",
    plugins: [{ type: "flannel", delegate: { mtu: 1450, canary: "canary" }, canary: ["canary"] }],
  });
  const text = allowedConflist(ours);
  assert(!text.includes("canary"), text);
  assertEquals(JSON.parse(text), {
    name: "cbr0",
    plugins: [{ type: "flannel", delegate: { mtu: 1450, "[left out]": 1 }, "[left out]": 1 }],
  });
  const theirs = JSON.stringify({
    name: "k8s",
    plugins: [{ type: "calico", etcd_key: "canary", mtu: 1440 }],
  });
  assertEquals(JSON.parse(allowedConflist(theirs)), { name: "k8s", plugins: [{ type: "calico" }] });
});

Deno.test("of a network configuration the keys that are known are kept", () => {
  const text = allowedNetConf(
    '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan","VNI":7,"PSK":"canary"},"x":"canary"}',
  );
  assert(!text.includes("canary"), text);
  assertEquals(JSON.parse(text), {
    Network: "10.244.0.0/16",
    Backend: { Type: "vxlan", VNI: 7, "[left out]": 1 },
    "[left out]": 1,
  });
});

Deno.test("of a subnet file only flannel's keys are kept, each with what it can say", () => {
  for (
    const line of [
      "FLANNEL_EXTRA=canary",
      "FLANNEL_PASSWORD=canary",
      "FLANNEL_MTU=canary",
      "FLANNEL_SUBNET=canary",
      "FLANNEL_NETWORK=10.244.0.0/16 canary",
      "FLANNEL_BACKEND=canary",
      "FLANNEL_DELEGATE=canary",
      "FLANNEL_IPMASQ=canary",
    ]
  ) assertEquals(allowedSubnetFile(line), "[left out]");
  for (
    const line of [
      "FLANNEL_IPV6_SUBNET=fd00:10:244:3::1/64",
      'export FLANNEL_MTU="1450"',
      "FLANNEL_IPMASQ=true",
      "FLANNEL_BACKEND=vxlan",
      "FLANNEL_BACKEND=host-gw",
    ]
  ) assertEquals(allowedSubnetFile(line), line);
});

Deno.test("of a subnet file the lines that are one's are kept", () => {
  const lines =
    "FLANNEL_NETWORK=10.244.0.0/16\nexport FLANNEL_MTU=1450\nPASSWORD=canary\nFLANNEL_X=$(canary)\n";
  assertEquals(
    allowedSubnetFile(lines),
    "FLANNEL_NETWORK=10.244.0.0/16\nexport FLANNEL_MTU=1450\n[left out]\n[left out]\n",
  );
});
