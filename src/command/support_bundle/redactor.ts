import { Secrets } from "../../log/secrets.ts";

const PLACEHOLDER = "[secret]";
/** So many secrets are known to one `Secrets`. */
const GROUP = 8;
/** So much text is looked at by one `Secrets` at a time. */
const PIECE_LENGTH = 32 * 1024;
/** A longer line is cut: a secret may not lie on both sides of where a text is divided. */
const MAX_LINE_LENGTH = 16 * 1024;

/** What a sign of a name may be. */
const WORD = "[\\w.-]";
/** What people call a password, as a word of its own. */
const PASSWORDS =
  "passwords?|passwd|pass[-_ ]?phrase|pass[-_ ]?code|(?<![a-z])pwd|(?<![a-z])psk|pre-?shared[-_ ]?keys?";
/** How names of secrets end, before a number or another word: a short one only as a word of its own. */
const NAMES =
  `(?:passw(?:or)?ds?|${PASSWORDS}|(?<![a-z])(?:pass|sid)(?![a-z_-])|secret|token|private[-_.]?key|` +
  "client[-_.]?key|access[-_.]?key|api[-_.]?key|credential|authorization|session[-_.]?id)";
/** What stands for one; no object and no list, which have names of their own. */
const VALUE =
  `(?![{[]\\s*(?:["'{}[\\]]|$))(?:\\\\?"(?:[^"\\\\]|\\\\[^"])*\\\\?"|'[^']*'|[^\\s,;"'}\\]\\\\]+)`;
/** What follows the word in sentences about one that do not hold it. */
const ORDINARY =
  "(?:is|was|are|of|for|to|set|now|changed|with|that|in|on|and|or|not|no|may|must|can|can't|has|by|from|" +
  "file|authentication|login|auth|required|missing|wrong|invalid|incorrect|given|unset|empty|known|expired|user|the|a|an)";

/** What looks like a secret, though nobody knows it. */
const PATTERNS: readonly (readonly [pattern: RegExp, instead: string])[] = [
  // Keys and certificates, also with their line breaks escaped.
  [/-----BEGIN [A-Z0-9 ]+-----[^]*?(?:-----END [A-Z0-9 ]+-----|$)/g, PLACEHOLDER],
  // JSON Web Tokens.
  [/\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}/g, PLACEHOLDER],
  // Ids of keys of AWS.
  [/\b(?:AKIA|ASIA|AIDA|AROA)[A-Z0-9]{12,}\b/g, PLACEHOLDER],
  [/\b(Bearer|Basic|Negotiate)\s+[^\s"'\\]+/gi, `$1 ${PLACEHOLDER}`],
  // User and password of a URL.
  [/(\/\/)[^/\s"'@\\]*@/g, `$1${PLACEHOLDER}@`],
  // All of a header that names a session.
  [/\b((?:set-)?cookie["']?\s*[:=]\s*)(?:\\"[^"\\\n]*\\"|"[^"\\\n]*"|[^"\\\n]+)/gi, `$1"${PLACEHOLDER}"`],
  // Tokens of services, and of kubeadm.
  [/\b(?:gh[a-z]_|github_pat_|glpat-|xox[a-z]-|npm_|hvs\.|AIza)[\w-]{6,}/g, PLACEHOLDER],
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, PLACEHOLDER],
  // A flag's value that is the next word, also of a list in JSON.
  [
    new RegExp(`(-${WORD}{0,64}?${NAMES}${WORD}{0,64}(?:\\\\?["']\\s*,\\s*|["']?\\s+))${VALUE}`, "gi"),
    `$1"${PLACEHOLDER}"`,
  ],
  // What is called a secret.
  [
    new RegExp(`(${NAMES}${WORD}{0,64}(?:\\\\?["'])?\\s*(?::=|=>|[:=])\\s*)${VALUE}`, "gi"),
    `$1"${PLACEHOLDER}"`,
  ],
  // What a sentence calls one.
  [
    new RegExp(
      `\\b((?:${PASSWORDS})\\s+(?:(?:is|was|are|of|for|to|set|now|changed|with)\\s+){0,4})(?!${ORDINARY}(?![\\w-]))${VALUE}`,
      "gi",
    ),
    `$1"${PLACEHOLDER}"`,
  ],
  [
    /\b((?:token|secret|key)\s+(?:(?:is|was)\s+)?)(?=[^\s"'\\]{0,64}\d)[^\s"'\\,;/]{8,}/gi,
    `$1"${PLACEHOLDER}"`,
  ],
  // Long words without a slash or dot are keys rather than names.
  [/\b[\w+-]{44,}={0,2}/g, PLACEHOLDER],
];

/** Takes out of texts what nobody else may see: secrets that are known, and what looks like one. */
export class Redactor {
  readonly #known: readonly Secrets[];

  /** @param secrets Those that are known: passwords, tokens, keys. */
  constructor(secrets: Iterable<string>) {
    const all = [...new Set(secrets)];
    const groups: Secrets[] = [];
    for (let at = 0; at < all.length; at += GROUP) {
      const group = new Secrets();
      for (const secret of all.slice(at, at + GROUP)) group.keep(secret);
      groups.push(group);
    }
    this.#known = groups;
  }

  /** The text without secrets; lines that are too long are cut. */
  hide(text: string): string {
    let rest = text.split("\n")
      .map((line) => line.length > MAX_LINE_LENGTH ? `${line.slice(0, MAX_LINE_LENGTH)}… [cut]` : line).join(
        "\n",
      );
    for (const [pattern, instead] of PATTERNS) rest = rest.replaceAll(pattern, instead);
    if (this.#known.length === 0) return rest;
    return pieces(rest).map((piece) => this.#known.reduce((left, secrets) => secrets.hide(left), piece)).join(
      "",
    );
  }
}

/** A text in parts that end at the ends of lines. */
function pieces(text: string): string[] {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const end = text.length - at <= PIECE_LENGTH
      ? text.length
      : text.lastIndexOf("\n", at + PIECE_LENGTH) + 1;
    const next = end > at ? end : at + PIECE_LENGTH;
    parts.push(text.slice(at, next));
    at = next;
  }
  return parts;
}

/** JSON text in which no sentence quotes what others have written: in JSON such a quotation has escaped marks. */
export function withoutQuotations(json: string): string {
  return json.replaceAll(/\\"(?:[^"\\]|\\[^"])*?(?:\\"|(?="))/g, '\\"[quoted]\\"');
}
