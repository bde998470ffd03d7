import { join } from "node:path";
import { JsonSyntaxError, type JsonValue, parseJson } from "../config/json.ts";
import { BoundedOutput } from "../linux/bounded_output.ts";
import { LifeLine } from "../linux/life_line.ts";
import { fileReason } from "../file/file_reason.ts";
import { CNI_CODE, CniError } from "../pods/cni_error.ts";
import { isFile } from "../file/read_file.ts";
import { pause, within } from "../loop/pause.ts";
import { isObject } from "../pods/net_conf.ts";
import type { Verb } from "../pods/versions.ts";

/** One call of a delegate. */
export interface DelegateCall {
  readonly verb: Verb;
  /** The plugin's name. */
  readonly type: string;
  /** Its configuration, JSON text. */
  readonly config: string;
  /** What its environment says differently from this process's, `CNI_COMMAND` apart. */
  readonly variables?: Readonly<Record<string, string>>;
}

/** A delegate that prints more is not a plugin. */
const MAX_OUTPUT_BYTES = 4 << 20;
/** From a delegate's end to the end of what it prints. */
const GRACE_MS = 1000;
/** A plugin that is being replaced can't be started for a moment. */
const BUSY_RETRIES = 20;
const BUSY_RETRY_MS = 100;

/** A delegate was not started: nothing has come of the call. */
export class NotStartedError extends CniError {}

/** The other plugins of this host, as they are found by name in the runtime's folders. */
export class Delegates {
  constructor(readonly folders: readonly string[]) {}

  /**
   * The file of a plugin.
   *
   * @throws {NotStartedError} In the words of the CNI library if there is none.
   */
  find(type: string): string {
    if (type === "" || type.includes("/")) {
      throw new NotStartedError(CNI_CODE.invalidConfig, `invalid plugin name: ${JSON.stringify(type)}`);
    }
    for (const folder of this.folders) {
      const path = join(folder, type);
      if (isFile(path)) return path;
    }
    throw new NotStartedError(
      CNI_CODE.internal,
      `failed to find plugin "${type}" in path [${this.folders.join(" ")}]`,
      "install the standard CNI plugins on this host, or name their folder in the runtime's configuration",
    );
  }

  /**
   * Calls a delegate and returns what it printed. What it writes to standard error is written to ours. It ends when this
   * process ends before, and so does what it has started: else it would attach what the runtime detaches meanwhile.
   *
   * @throws {NotStartedError} If it can't be started.
   * @throws {CniError} If it fails: its own code, message and details where it says them.
   */
  async call(call: DelegateCall): Promise<string> {
    using line = LifeLine.open();
    const child = await start(this.find(call.type), call);
    // Before it is told what to do: one that is told nothing does nothing.
    line?.tie(child.pid);
    const output = new BoundedOutput(child.stdout, MAX_OUTPUT_BYTES, "is refused");
    void feed(child.stdin, call.config);
    const { code, signal } = await child.status;
    // A process that it has started, and left, may keep its output open for ever.
    await within(output.read, GRACE_MS);
    await output.cancel();
    if (output.isCut) {
      throw new CniError(
        CNI_CODE.internal,
        `plugin ${call.type} printed more than ${MAX_OUTPUT_BYTES} bytes`,
      );
    }
    const stdout = output.text;
    if (code === 0) return stdout;
    const how = signal === null ? `ended with ${code}` : `was ended by ${signal}`;
    throw failureOf(stdout) ??
      new CniError(CNI_CODE.internal, `failed to delegate ${call.verb}: plugin ${call.type} ${how}`, stdout);
  }

  /**
   * The versions of the specification that a plugin speaks.
   *
   * @throws {CniError} If it can't be asked, or does not say.
   */
  async versions(type: string): Promise<readonly string[]> {
    const answer = jsonOf(await this.call({ verb: "VERSION", type, config: "{}" }));
    const versions = isObject(answer) ? answer.supportedVersions : undefined;
    if (!Array.isArray(versions) || !versions.every((version) => typeof version === "string")) {
      throw new CniError(CNI_CODE.internal, `plugin ${type} does not say which versions it speaks`);
    }
    return versions as readonly string[];
  }
}

async function start(path: string, { verb, variables }: DelegateCall): Promise<Deno.ChildProcess> {
  const command = new Deno.Command(path, {
    env: { ...variables, CNI_COMMAND: verb },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
    // A process group of its own, which ends as one.
    detached: true,
  });
  for (let tries = 0;; tries++) {
    try {
      return command.spawn();
    } catch (error) {
      if (tries < BUSY_RETRIES && isBusy(error)) {
        await pause(BUSY_RETRY_MS);
        continue;
      }
      throw new NotStartedError(
        CNI_CODE.internal,
        `failed to delegate ${verb}: cannot start ${path}: ${fileReason(error)}`,
      );
    }
  }
}

/** `ETXTBSY` of execve(2), which Deno tells only in words. */
function isBusy(error: unknown): boolean {
  return error instanceof Error && error.message.endsWith("(os error 26)");
}

/** Writes a delegate's input. One that ends without reading it has its reasons, and says them itself. */
async function feed(stdin: WritableStream<Uint8Array>, config: string): Promise<void> {
  try {
    const writer = stdin.getWriter();
    await writer.write(new TextEncoder().encode(config));
    await writer.close();
  } catch {
    // The pipe is broken, or closed already.
  }
}

/** What a plugin that failed says; absent where it says nothing that can be read. */
function failureOf(stdout: string): CniError | undefined {
  const value = jsonOf(stdout);
  if (!isObject(value) || typeof value.code !== "number" || typeof value.msg !== "string") return undefined;
  const details = typeof value.details === "string" && value.details !== "" ? value.details : undefined;
  return new CniError(value.code, value.msg, details);
}

function jsonOf(text: string): JsonValue | undefined {
  try {
    return parseJson(text);
  } catch (error) {
    if (error instanceof JsonSyntaxError) return undefined;
    throw error;
  }
}
