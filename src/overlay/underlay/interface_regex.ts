import { UsageError } from "../../config/usage_error.ts";

/** In RE2, which flannel uses, a backslash makes any of these literal; here only `\xNN` says so everywhere. */
const ESCAPED = /\\(.)/gs;
const ESCAPED_LITERAL = /[-_!"#%&',:;<=>@`~ ]/;
const INLINE_FLAGS = /^(\^?)\(\?([ims]+)\)/;

/**
 * Compiles the pattern of `-iface-regex`, matched anywhere in a text.
 *
 * It is written for RE2. What both languages have is understood, with flags at the head (`(?i)`); what would
 * mean something else here is refused.
 *
 * @throws {UsageError} If `source` is not a regular expression.
 */
export function compileInterfaceRegex(source: string): RegExp {
  const refuse = (reason: string) =>
    new UsageError(`Cannot use -iface-regex ${JSON.stringify(source)}: ${reason}`);
  if (source.includes("[[:")) throw refuse("classes as [[:digit:]] are not known; write [0-9]");
  const [head = "", anchor = "", flags = ""] = INLINE_FLAGS.exec(source) ?? [];
  const pattern = anchor + source.slice(head.length).replaceAll(
    ESCAPED,
    (whole, mark: string) => ESCAPED_LITERAL.test(mark) ? `\\x${mark.charCodeAt(0).toString(16)}` : whole,
  );
  try {
    return new RegExp(pattern, `u${[...new Set(flags)].join("")}`);
  } catch (error) {
    const reason = (error as Error).message.replace(/^Invalid regular expression: .*: /s, "");
    throw refuse(`it is not a regular expression: ${reason}`);
  }
}
