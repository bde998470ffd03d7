import { assertEquals, assertRejects } from "@std/assert";
import { readConfigFile, readRegistryConfig } from "../../src/cli/network_config.ts";
import { parseOptions } from "../../src/config/options.ts";
import type { Options } from "../../src/config/options.ts";
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
  const log: Log = { write: (_, event, fields) => said.push([event, fields?.reason]), with: () => log };
  const read = () => {
    const answer = answers.shift()!;
    return typeof answer === "string" ? Promise.resolve(answer) : Promise.reject(answer);
  };
  const deps = {
    read,
    source: "etcd /net",
    remembered,
    waiting: (reason: string) => reasons.push(reason),
    log,
  };
  return { said, reasons, result: readRegistryConfig(optionsOf(), deps, { signal }) };
}

Deno.test("readRegistryConfig() reads the configuration that the registry keeps", async () => {
  const { config, text } = await readFrom([TEXT]).result;
  assertEquals([formatPrefix(config.families[0]!.network), text], ["10.244.0.0/16", TEXT]);
});

Deno.test("readRegistryConfig() waits for a configuration that is missing or wrong, and says why once", async () => {
  const missing = new Error("the key is missing");
  const { result, said, reasons } = readFrom([missing, missing, "{", TEXT]);
  assertEquals((await result).text, TEXT);
  assertEquals(said.map((entry) => (entry as string[])[0]), [
    "network configuration not read",
    "network configuration not read",
  ]);
  assertEquals([reasons.length, reasons[0]], [3, "the key is missing"]);
});

Deno.test("readRegistryConfig() takes what was in use last while the registry is away", async () => {
  const { result, said } = readFrom([new Error("nobody answers")], TEXT);
  assertEquals((await result).text, TEXT);
  assertEquals(said, [["network configuration not read", "nobody answers"], [
    "network configuration remembered",
    undefined,
  ]]);
});

Deno.test("readRegistryConfig() ends with its signal", async () => {
  const controller = new AbortController();
  const log: Log = { write: () => {}, with: () => log };
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

Deno.test("readConfigFile() says which file it wants, and how to name another", async () => {
  const log: Log = { write: () => {}, with: () => log };
  await assertRejects(
    () => readConfigFile(optionsOf("-net-config-path=/nowhere/net-conf.json"), log),
    Error,
    "Cannot read the network configuration /nowhere/net-conf.json: there is no such file or folder; write it, or name " +
      "another file with -net-config-path",
  );
});
