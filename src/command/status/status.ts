import { Libc } from "../../linux/libc.ts";
import { pause } from "../../loop/pause.ts";
import { EXIT, type Place } from "../command.ts";
import { commandHelp, type CommandWords, readCommandWords } from "../command_flags.ts";
import { UsageError } from "../../config/usage_error.ts";
import { parseDuration } from "./duration.ts";
import { exitOf, type Look, lookAtHost, type LookOptions } from "./look.ts";
import { jsonOf, linesOf } from "./look_text.ts";
import { STATUS_USAGE } from "./usage.ts";
import { Watcher } from "./watch.ts";

/** Between looks of `--wait` and `--watch`. */
const WAIT_MS = 500;
const WATCH_MS = 2000;

/** What the command needs of the process that it runs in. */
export interface StatusDeps {
  readonly isTerminal: boolean;
  readonly look: (options: LookOptions) => Promise<Look>;
  readonly isRoot: boolean;
  /** A clock that nobody sets. */
  readonly elapsedMs: () => number;
}

/** `loden status`: how this host is. */
export async function runStatus(args: readonly string[], place: Place): Promise<number> {
  using libc = new Libc();
  return await statusOf(args, place, {
    isTerminal: Deno.stdout.isTerminal(),
    look: (options) => lookAtHost(options, libc),
    isRoot: libc.call.geteuid() === 0,
    elapsedMs: () => performance.now(),
  });
}

/**
 * The same, of a world that is told.
 *
 * @throws {Error} If this user may not ask.
 */
export async function statusOf(
  args: readonly string[],
  place: Place,
  deps: StatusDeps,
): Promise<number> {
  const asked = readCommandWords(args, STATUS_USAGE);
  if (asked === undefined) {
    place.output.say(commandHelp(STATUS_USAGE));
    return EXIT.done;
  }
  const [word] = asked.words;
  if (word !== undefined) {
    throw new UsageError(
      `Cannot read ${JSON.stringify(word)}: status takes flags alone; see 'loden status --help'`,
    );
  }
  const waitMs = asked.values.has("wait")
    ? parseDuration("wait", asked.values.get("wait") as string)
    : undefined;
  if (!deps.isRoot) {
    throw new Error("Cannot look at this host: only root may ask its agent; run it as root, as with sudo");
  }
  const isOn = (name: string) => asked.values.get(name) === true;
  const look = () => deps.look(lookOptions(asked));
  const print = (found: Look) => place.output.say(isOn("json") ? jsonOf(found) : linesOf(found).join("\n"));
  if (isOn("watch")) {
    const say = (text: string) => place.output.say(text);
    const watcher = new Watcher({ say, isTerminal: deps.isTerminal, isJson: isOn("json") });
    while (!place.signal.aborted) {
      watcher.see(await look());
      await pause(WATCH_MS, place);
    }
    return EXIT.done;
  }
  const began = deps.elapsedMs();
  for (;;) {
    const found = await look();
    const code = exitOf(found);
    const isOver = waitMs === undefined || deps.elapsedMs() - began + WAIT_MS > waitMs;
    if (code === 0 || isOver || place.signal.aborted) {
      print(found);
      // Who has waited is told that it was in vain, whatever the reason.
      return waitMs === undefined || code === 0 ? code : EXIT.failed;
    }
    await pause(WAIT_MS, place);
  }
}

function lookOptions({ values }: CommandWords): LookOptions {
  const peers = values.get("all") === true ? "all" : values.get("peers") === true ? "some" : "none";
  return { subnetFilePath: values.get("subnet-file") as string, peers };
}
