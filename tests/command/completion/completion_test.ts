import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { FLAGS } from "../../../src/config/flags.ts";
import { UsageError } from "../../../src/config/usage_error.ts";
import { COMMANDS } from "../../../src/command/commands.ts";
import { commandEntries } from "../../../src/command/command_table.ts";
import { completionOf } from "../../../src/command/completion/completion.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

/** Asks a real bash: its completion function is called as readline calls it, with the line as it cuts it. */
const ASK_BASH = `
source "$1"; shift
for line in "$@"; do
  COMP_WORDS=() COMP_CWORD=-1
  for word in $line; do
    while [[ $word == ?*=* || $word == =?* ]]; do
      if [[ $word == =* ]]; then COMP_WORDS+=("="); word=\${word#=}
      else COMP_WORDS+=("\${word%%=*}"); word="=\${word#*=}"; fi
    done
    COMP_WORDS+=("$word")
  done
  [[ $line == *" " ]] && COMP_WORDS+=("")
  COMP_CWORD=$(( \${#COMP_WORDS[@]} - 1 ))
  _loden
  echo "\${COMPREPLY[@]}"
done`;
const ASK_FISH = `source $argv[1]
for line in $argv[2..]; complete -C $line | string replace -r '\\t.*' '' | string join ' '; end; true`;
/** Asks a real zsh, which has a terminal: TAB is typed, and the line that it has become is written down. */
const ASK_ZSH = `
zmodload zsh/zpty
script=$1 log=$2; shift 2
zpty z zsh -f -i
zpty -w z "PROMPT=; unset zle_bracketed_paste; unsetopt beep list_beep; autoload -Uz compinit; compinit -D -u"
zpty -w z "source $script; report() { print -r -- \\"<\\$BUFFER>\\" >> $log; BUFFER=; }; zle -N report"
zpty -w z "bindkey '^X' report; bindkey '^I' complete-word; print ready > $log.ready"
until [[ -e $log.ready ]]; do read -t 0.05 < /dev/null; zpty -r -t z junk; done
for line in "$@"; do
  zpty -w -n z "$line"$'\\t\\x18'
  asked=$((asked + 1))
  until [[ -e $log && $(wc -l < $log) -ge $asked ]]; do zpty -r -t z junk || zselect -t 2; done
done
cat $log
zpty -d z`;

interface Asked {
  readonly program: Shell;
  readonly script: string;
  readonly lines: readonly string[];
}

/** What a shell makes of each line as TAB is typed behind it: one text a line. */
async function ask({ program, script, lines }: Asked): Promise<string[]> {
  const folder = await Deno.makeTempDir({ prefix: "loden-completion-" });
  try {
    const path = `${folder}/script`;
    await Deno.writeTextFile(path, script);
    const args: Readonly<Record<Shell, string[]>> = {
      bash: ["--norc", "-c", ASK_BASH, "bash", path, ...lines],
      fish: ["--no-config", "-c", ASK_FISH, path, ...lines],
      zsh: ["-f", "-c", `zmodload zsh/zselect; ${ASK_ZSH}`, "zsh", path, `${folder}/log`, ...lines],
    };
    const child = new Deno.Command("timeout", {
      args: ["60", program, ...args[program]],
      env: { HOME: folder, TERM: "dumb" },
      stdin: "null",
    });
    const { code, stdout, stderr } = await child.output();
    const [said, wrong] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assertEquals([code, wrong], [0, ""], said);
    return said!.trimEnd().split("\n");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const lines: [line: string, bash: string, zsh: string, fish: string][] = [
  ["loden sta", "status", "<loden status >", "status"],
  ["loden status --pee", "--peers", "<loden status --peers >", "--peers"],
  ["loden status --subnet", "--subnet-file=", "<loden status --subnet-file=>", "--subnet-file"],
  ["loden completion z", "zsh", "<loden completion zsh >", "zsh"],
  ["loden help vers", "version", "<loden help version >", "version"],
  ["loden cleanup --dry", "--dry-run", "<loden cleanup --dry-run >", "--dry-run"],
  [
    "loden cleanup --iface-can",
    "--iface-can-reach=",
    "<loden cleanup --iface-can-reach=>",
    "--iface-can-reach",
  ],
  ["loden agent --log-format=te", "text", "<loden agent --log-format=text >", "--log-format=text"],
];

for (const [at, shell] of SHELLS.entries()) {
  Deno.test(`a real ${shell} completes commands, flags and values`, async () => {
    const script = await completionOf([shell], COMMANDS);
    const expected = lines.map((row) => row[at + 1]!);
    assertEquals(await ask({ program: shell, script, lines: lines.map(([line]) => line) }), expected);
  });
}

Deno.test("a real bash completes the agent's flags with one dash, as flanneld's users write them", async () => {
  const script = await completionOf(["bash"], COMMANDS);
  const asked = ["loden agent -iface-c", "loden agent -log-format=j", "loden agent -healthz-port="];
  assertEquals(await ask({ program: "bash", script, lines: asked }), ["-iface-can-reach=", "json"]);
});

Deno.test("each flag of each command is in each script", async () => {
  for (const shell of SHELLS) {
    const script = await completionOf([shell], COMMANDS);
    for (const { name, flags } of await commandEntries(COMMANDS)) {
      assertStringIncludes(script, name);
      for (const flag of flags) {
        assertStringIncludes(
          script,
          shell === "fish" ? `-l ${flag.name}` : `--${flag.name}`,
          `${shell}: ${name}`,
        );
      }
    }
  }
});

Deno.test("a command that takes the agent's flags has them behind its own, each once", async () => {
  const entries = await commandEntries(COMMANDS);
  const { flags, agentFlags } = entries.find(({ name }) => name === "cleanup")!;
  const names = [...flags, ...agentFlags].map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const { name } of FLAGS) assert(names.includes(name), name);
});

for (const args of [[], ["csh"], ["bash", "zsh"], ["toString"]]) {
  Deno.test(`completion refuses "${args.join(" ")}"`, async () => {
    await assertRejects(() => completionOf(args, COMMANDS), UsageError, "name one of bash, zsh, fish");
  });
}
