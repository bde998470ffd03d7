import { Composer, isNode, Lexer, Parser, Scalar, type ScalarTag } from "yaml";

/** A file for a hundred clusters has a fifth of them. More would take seconds. */
const MAX_TOKENS = 50_000;

/** `y` is a word of YAML 1.1, and kubectl's parser knows no other version. */
const BOOLEAN: ScalarTag = {
  tag: "tag:yaml.org,2002:bool",
  default: true,
  test: /^(?:y|Y|[Yy]es|YES|[Oo]n|ON|[Tt]rue|TRUE|n|N|[Nn]o|NO|[Oo]ff|OFF|[Ff]alse|FALSE)$/,
  resolve: (text) => /^(?:y|on|t)/i.test(text),
};

/** What is a number to kubectl: neither a time (`1:20`) nor a name as `e2`. No member of a kubeconfig is a number. */
const NUMBER: ScalarTag = {
  tag: "tag:yaml.org,2002:float",
  default: true,
  test:
    /^(?:[-+]?(?:0x[\da-f_]{1,16}|0b[01_]+|0o[0-7_]+|(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:e[-+]?\d+)?|\.inf)|\.nan)$/i,
  resolve: Number,
};

/** `<<`: members of another map. As kubectl reads it, they replace those before it, and those after it replace them. */
const MERGE: ScalarTag = {
  tag: "tag:yaml.org,2002:merge",
  default: "key",
  test: /^<<$/,
  resolve: () =>
    Object.assign(new Scalar("<<"), {
      addToJSMap: (...[context, map, value]: Parameters<NonNullable<Scalar["addToJSMap"]>>) => {
        const sources = [isNode(value) ? value.toJSON("", context) : value].flat();
        // The first of a list is the strongest.
        for (const source of sources.reverse()) {
          if (source === null || typeof source !== "object") throw new Error("<< must name maps");
          Object.assign(map, source);
        }
      },
    }),
};

/**
 * Reads the first document of a text as kubectl does (sigs.k8s.io/yaml): by YAML 1.1, and of two equal keys the last.
 * Brackets whose lines stand no further right than their key are refused; kubectl reads them.
 *
 * @throws {Error} If it is no YAML, if it is too large, or if aliases make a small text large.
 */
export function readGoYaml(text: string): unknown {
  let tokens = 0;
  for (const _ of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) throw new Error(`it has more than ${MAX_TOKENS} words and signs`);
  }
  const composer = new Composer({
    schema: "failsafe",
    customTags: ["null", BOOLEAN, NUMBER, MERGE],
    uniqueKeys: false,
    strict: false,
    logLevel: "error",
  });
  const [document] = composer.compose(new Parser().parse(text));
  const error = document?.errors[0];
  if (error !== undefined) throw new Error(`${error.message} at ${placeOf(error.pos[0], text)}`);
  return document?.toJS() ?? null;
}

function placeOf(offset: number, text: string): string {
  const lines = text.slice(0, offset).split("\n");
  return `line ${lines.length}, column ${lines.at(-1)!.length + 1}`;
}
