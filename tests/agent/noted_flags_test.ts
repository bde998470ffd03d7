import { assertEquals } from "@std/assert";
import {
  flagsToNote,
  NotedFlagsKeeper,
  notedFlagsPath,
  readNotedFlags,
  withGiven,
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

Deno.test("withGiven() lets what is given stand for what is noted, lists too", () => {
  assertEquals(withGiven(["-iface=a", "-iface=b", "-v=1"], ["--iface=c"]), ["-v=1", "--iface=c"]);
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

const broken: [text: string, why: string][] = [
  ["", "nothing is in it"],
  ["[]", "it is a list"],
  ['{"args":[1],"environment":{},"leftOut":[]}', "a flag is a number"],
  ['{"args":"-v","environment":{},"leftOut":[]}', "the flags are a text"],
];

for (const [text, why] of broken) {
  Deno.test(`readNotedFlags() reads nothing where ${why}`, async () => {
    const path = await Deno.makeTempFile();
    await Deno.writeTextFile(path, text);
    assertEquals(readNotedFlags(path), undefined);
    await Deno.remove(path);
  });
}
