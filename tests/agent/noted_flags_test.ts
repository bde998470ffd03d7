import { assertEquals, assertThrows } from "@std/assert";
import {
  flagsToNote,
  NotedFlagsError,
  NotedFlagsKeeper,
  notedFlagsPath,
  notGiven,
  readNotedFlags,
} from "../../src/agent/noted_flags.ts";

Deno.test("flagsToNote() notes flags and variables of the agent, and no secret", () => {
  const args = ["-iface=eth0", "-iface", "eth1", "-etcd-username=u", "-etcd-password=hunter2", "-ip-masq"];
  const environment = {
    FLANNELD_ETCD_ENDPOINTS: "http://u:hunter2@192.0.2.1:2379",
    FLANNELD_SUBNET_FILE: "/x/subnet.env",
    NODE_NAME: "n1",
    AWS_SECRET_ACCESS_KEY: "hunter2",
  };
  const noted = flagsToNote(args, environment);
  assertEquals(noted, {
    args: ["-iface=eth0", "-iface=eth1", "-etcd-username=u", "-ip-masq=true", "-subnet-file=/x/subnet.env"],
    environment: { NODE_NAME: "n1" },
    leftOut: ["-etcd-password", "-etcd-endpoints"],
  });
  assertEquals(JSON.stringify(noted).includes("hunter2"), false);
});

Deno.test("notGiven() leaves out what is given anew, lists too", () => {
  assertEquals(notGiven(["-iface=a", "--iface=b", "-v=1"], new Set(["iface"])), ["-v=1"]);
});

Deno.test("NotedFlagsKeeper writes a file of root alone, and again once it is gone", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const subnetFile = `${directory}/subnet.env`;
    const path = notedFlagsPath(subnetFile);
    const noted = { args: ["-ip-masq=true"], environment: {}, leftOut: [] };
    const keeper = new NotedFlagsKeeper(subnetFile, noted);
    keeper.keep();
    assertEquals(readNotedFlags(path), noted);
    assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    await Deno.remove(path);
    keeper.keep();
    assertEquals([readNotedFlags(path), keeper.conditions], [noted, []]);
    new NotedFlagsKeeper(subnetFile, undefined).keep();
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

const broken: [text: string, why: string, reason: string][] = [
  ["", "nothing is in it", "it is not JSON"],
  ['{"args":[', "it ends in the middle", "it is not JSON"],
  ["[]", "it is a list", "it is not what an agent writes"],
  ["null", "it is null", "it is not what an agent writes"],
  ['{"args":[1],"environment":{},"leftOut":[]}', "a flag is a number", "it is not what an agent writes"],
  ['{"args":"-v","environment":{},"leftOut":[]}', "the flags are a text", "it is not what an agent writes"],
];

for (const [text, why, reason] of broken) {
  Deno.test(`readNotedFlags() says that it can't be read where ${why}`, async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, text);
    assertThrows(
      () => readNotedFlags(path),
      NotedFlagsError,
      `Cannot read the flags that the last agent has noted in ${path}: ${reason}`,
    );
    await Deno.remove(path);
    assertEquals(readNotedFlags(path), undefined);
  });
}
