import { assertEquals } from "@std/assert";
import { ConfigWatch } from "../../src/agent/config_watch.ts";
import { refusal } from "../../src/agent/network_guard.ts";
import { parseNetworkConfig } from "../../src/config/network.ts";
import { parsePrefix } from "../../src/model/address.ts";
import { until } from "../double/overlay_rig.ts";

const SOURCE = "/etc/net-conf.json";
const RIGHT = '{"Network": "10.244.0.0/16"}';

const parse = (text: string) => parseNetworkConfig(text, { source: SOURCE }).config;

/** A watch of a text that a test changes; an error stands for one that can't be read. */
async function withWatch(
  { isHere = true }: { readonly isHere?: boolean },
  test: (world: {
    readonly watch: ConfigWatch;
    /** Changes the text, and waits until that was read. */
    readonly change: (text: string | Error) => Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  let text: string | Error = RIGHT;
  let reads = 0;
  const watch = new ConfigWatch({ config: parse(RIGHT), text: RIGHT }, {
    source: SOURCE,
    read: () => {
      reads++;
      return text instanceof Error ? Promise.reject(text) : Promise.resolve(text);
    },
    isHere,
    parse,
    pollMs: { waiting: 60_000, used: 60_000 },
    random: () => 0.5,
    held: () => [parsePrefix("10.244.3.0/24")],
    refusal: (misfit) =>
      refusal(misfit, undefined, { kind: "etcd", registryName: "etcd /net", source: SOURCE }),
  });
  watch.isApplied = true;
  const running = watch.run({ signal: controller.signal });
  const change = async (next: string | Error) => {
    text = next;
    const before = reads;
    watch.nudge();
    await until("see it read", () => reads > before || undefined);
    await Promise.resolve();
  };
  try {
    await test({ watch, change });
  } finally {
    controller.abort();
    await running;
  }
}

const sentences = (watch: ConfigWatch) => watch.conditions.map(({ sentence }) => sentence);

const ON = "this agent goes on with what it read at its start";

const changes: [what: string, text: string | Error, sentence: RegExp | undefined][] = [
  ["is written anew", `${RIGHT}\n\n`, undefined],
  [
    "says the same otherwise",
    '{"SubnetLen": 24, "Network": "10.244.0.0/16", "Backend": {"Type": "vxlan"}}',
    undefined,
  ],
  [
    "asks for something else",
    '{"Network": "10.244.0.0/16", "Backend": {"Type": "vxlan", "VNI": 7}}',
    new RegExp(`^${SOURCE} has changed, and ${ON}: a restart of the agent applies it$`),
  ],
  [
    "has another Network",
    '{"Network": "10.99.0.0/16"}',
    new RegExp(
      `^${SOURCE} has changed, ${ON}, and a restart would not apply it: Network 10.99.0.0/16 of .* mend Network`,
    ),
  ],
  [
    "is wrong",
    '{"Network": "10.244.0.0/33"}',
    new RegExp(`^${SOURCE} is no longer right, ${ON}, and could not start again: .*Network`),
  ],
  ["is gone", new Error("it is gone"), /could not start again: it is gone$/],
];

for (const [what, text, sentence] of changes) {
  Deno.test(`of a configuration in use that ${what} ${sentence ? "there is a note until it is as it was" : "nothing is said"}`, async () => {
    await withWatch({}, async ({ watch, change }) => {
      await change(text);
      const found = sentences(watch);
      assertEquals(found.length, sentence === undefined ? 0 : 1, found.join());
      if (sentence !== undefined) assertEquals(sentence.test(found[0]!), true, found[0]);
      assertEquals(watch.conditions.every(({ code }) => code === "network-config-changed"), true);
      await change(RIGHT);
      assertEquals([sentences(watch), watch.isOther], [[], false]);
    });
  });
}

Deno.test("a registry that can't be read says nothing about the configuration in it", async () => {
  await withWatch({ isHere: false }, async ({ watch, change }) => {
    await change(new Error("nobody answers"));
    assertEquals([sentences(watch), watch.isOther], [[], false]);
  });
});

Deno.test("ConfigWatch tells when another configuration is there, and goes on with it", async () => {
  await withWatch({}, async ({ watch, change }) => {
    const changed = watch.changed;
    await change('{"Network": "10.99.0.0/16"}');
    await changed;
    assertEquals(watch.isOther, true);
    assertEquals(watch.use().config, parse('{"Network": "10.99.0.0/16"}'));
    assertEquals([watch.isOther, sentences(watch)], [false, []]);
  });
});

Deno.test("a configuration that is wrong before it is in use is why the agent waits", async () => {
  await withWatch({}, async ({ watch, change }) => {
    watch.isApplied = false;
    assertEquals(watch.conditions, []);
    await change("{");
    assertEquals(watch.conditions.map(({ code }) => code), ["network-config-missing"]);
    await change(RIGHT);
    assertEquals(watch.conditions, []);
  });
});
