import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { readConfigFile, readRegistryConfig } from "../../src/agent/network_config.ts";
import { type Options, parseOptions } from "../../src/config/options.ts";
import type { Condition } from "../../src/model/condition.ts";
import type { Log } from "../../src/log/log.ts";
import { formatPrefix } from "../../src/model/address.ts";

const TEXT = '{"Network": "10.244.0.0/16"}';
const signal = new AbortController().signal;

function optionsOf(...argv: string[]): Options {
  const outcome = parseOptions(argv, {});
  if (outcome.kind !== "run") throw new Error("nothing would run");
  return outcome.options;
}

/** Reads from a registry that gives `answers`, one a time; an error is thrown. */
function readFrom(answers: (string | Error)[], remembered?: string) {
  const said: unknown[] = [];
  const reasons: string[] = [];
  const log: Log = { write: (_, event, fields) => said.push([event, fields?.reason]) };
  const read = () => {
    const answer = answers.shift()!;
    return typeof answer === "string" ? Promise.resolve(answer) : Promise.reject(answer);
  };
  const deps = {
    read,
    source: "etcd /net",
    remembered,
    waiting: ({ code, sentence }: Condition) => void reasons.push(`${code}: ${sentence}`),
    log,
  };
  return { said, reasons, result: readRegistryConfig(optionsOf(), deps, { signal }) };
}

Deno.test("readRegistryConfig() reads the configuration that the registry keeps", async () => {
  const { config, text } = await readFrom([TEXT]).result;
  assertEquals([formatPrefix(config.families[0]!.network), text], ["10.244.0.0/16", TEXT]);
});

Deno.test("readRegistryConfig() waits for a configuration that is missing or wrong, and says why", async () => {
  const missing = new Error("the key is missing");
  const { result, reasons } = readFrom([missing, missing, "{", TEXT]);
  assertEquals((await result).text, TEXT);
  assertEquals([reasons.length, reasons[0]], [3, "network-config-missing: the key is missing"]);
});

Deno.test("readRegistryConfig() takes what was in use last while the registry is away", async () => {
  const { result, said } = readFrom([new Error("nobody answers")], TEXT);
  assertEquals((await result).text, TEXT);
  assertEquals(said, [["network configuration remembered", "nobody answers"]]);
});

Deno.test("readRegistryConfig() takes what was in use last while the registry's is wrong", async () => {
  const { result, said } = readFrom(["{"], TEXT);
  assertEquals((await result).text, TEXT);
  assertEquals((said[0] as string[])[0], "network configuration remembered");
});

Deno.test("readRegistryConfig() waits for the registry if what was in use last is not right any more", async () => {
  const { result, reasons } = readFrom([new Error("nobody answers"), TEXT], '{"Network": "10.244.0.0/33"}');
  assertEquals((await result).text, TEXT);
  assertEquals(reasons, ["network-config-missing: nobody answers"]);
});

Deno.test("readRegistryConfig() ends with its signal", async () => {
  const controller = new AbortController();
  const log: Log = { write: () => {} };
  await assertRejects(
    () =>
      readRegistryConfig(optionsOf(), {
        read: () => Promise.reject(new Error("nobody answers")),
        source: "etcd /net",
        remembered: undefined,
        waiting: () => controller.abort(new Error("asked to end")),
        log,
      }, controller),
    Error,
    "asked to end",
  );
});

Deno.test("readConfigFile() says which file it wants, and how to name another", () => {
  const log: Log = { write: () => {} };
  assertThrows(
    () => readConfigFile(optionsOf("-net-config-path=/nowhere/net-conf.json"), log),
    Error,
    "Cannot read the network configuration /nowhere/net-conf.json: there is no such file or folder; write it, or name " +
      "another file with -net-config-path",
  );
});

Deno.test("readConfigFile() says what is no file, and what to do", () => {
  const log: Log = { write: () => {} };
  assertThrows(
    () => readConfigFile(optionsOf("-net-config-path=/dev/zero"), log),
    Error,
    "Cannot read the network configuration /dev/zero: it is a device, not a regular file; put one in its place, or name " +
      "another file with -net-config-path",
  );
});
