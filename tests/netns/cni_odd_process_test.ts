import { assertEquals, assertStringIncludes } from "@std/assert";
import { compiledBinary } from "../../.ci/binary.ts";

const ADD = "CNI_COMMAND=ADD CNI_CONTAINERID=c1 CNI_NETNS=/x CNI_IFNAME=eth0 CNI_PATH=/x";

/** A folder with what an attachment needs, and a delegate that says that it is well; what follows must end by itself. */
const WORLD = `D=$(mktemp -d); trap 'rm -rf "$D"' EXIT
echo FLANNEL_NETWORK=10.1.0.0/16 > $D/env; echo FLANNEL_SUBNET=10.1.1.1/24 >> $D/env; echo FLANNEL_MTU=1450 >> $D/env; echo FLANNEL_IPMASQ=true >> $D/env
printf '#!/bin/sh\ncat >/dev/null; echo "{\\"cniVersion\\":\\"1.0.0\\",\\"well\\":1}"' > $D/fake; chmod +x $D/fake
mkfifo $D/fifo
add() {
  echo '{"cniVersion":"1.0.0","name":"a","type":"flannel","subnetFile":"'$1'","dataDir":"'$D'/state","delegate":{"type":"fake"}}' |
    timeout 10 env -i ${ADD} CNI_PATH=$D FLANNEL_CNI_LOG_LEVEL=debug $2 "$P"
}`;

// What a runtime, or a program that plays one, may do to a process; printf(1) makes the bytes that are no UTF-8.
const oddities: [why: string, script: string, code: number, words: string][] = [
  ["standard input is closed", `env -i ${ADD} "$P" <&-`, 1, '"code": 6'],
  ["standard input is a folder", `env -i ${ADD} "$P" </`, 1, '"code": 5'],
  ["standard input is not UTF-8", `printf '\\377\\376{' | env -i ${ADD} "$P"`, 1, '"code": 6'],
  [
    "a variable is not UTF-8",
    `env -i CNI_COMMAND=VERSION "X=$(printf '\\377')" "$P"`,
    0,
    '"cniVersion":"1.1.0"',
  ],
  [
    "the container's id is not UTF-8",
    `env -i ${ADD} "CNI_CONTAINERID=$(printf '\\377')" "$P" </dev/null`,
    1,
    '"code": 4',
  ],
  [
    "there is no home and no PATH",
    `cd /; env -i CNI_COMMAND=VERSION HOME=/nowhere "$P"`,
    0,
    '"cniVersion":"1.1.0"',
  ],
  ["the subnet file is a FIFO", `${WORLD}; add $D/fifo`, 1, "it is a FIFO, not a regular file"],
  ["the subnet file never ends", `${WORLD}; add /dev/zero`, 1, "it is a device, not a regular file"],
  [
    "its log file is a FIFO that nobody reads",
    `${WORLD}; add $D/env FLANNEL_CNI_LOG_FILE=$D/fifo`,
    0,
    '"well"',
  ],
  ["its log file is a folder", `${WORLD}; add $D/env FLANNEL_CNI_LOG_FILE=$D`, 0, '"well"'],
  [
    "nobody reads its standard error",
    `${WORLD}; exec 3<>$D/fifo; head -c 65536 /dev/zero >&3; add $D/env 2>&3`,
    0,
    '"well"',
  ],
  ["it may open few files", `ulimit -n 16; env -i ${ADD} "$P" </dev/null`, 1, '"code": 6'],
];
for (const [why, script, code, words] of oddities) {
  Deno.test(`the plugin answers with one JSON document when ${why}`, async () => {
    const output = await new Deno.Command("sh", {
      args: ["-c", script],
      env: { P: await compiledBinary() },
      stdin: "null",
    }).output();
    const stdout = new TextDecoder().decode(output.stdout);
    assertEquals(output.code, code, stdout + new TextDecoder().decode(output.stderr));
    JSON.parse(stdout);
    assertStringIncludes(stdout, words);
  });
}
