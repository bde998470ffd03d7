import { assertEquals, assertThrows } from "@std/assert";
import { UsageError } from "../../../src/config/usage_error.ts";
import { compileInterfaceRegex } from "../../../src/overlay/underlay/interface_regex.ts";

const matched: [source: string, text: string, isMatch: boolean, why: string][] = [
  ["th", "eth0", true, "it matches anywhere"],
  ["^th", "eth0", false, "unless it is anchored"],
  ["10\\.1\\..*", "10.1.2.3", true, "a dot is escaped"],
  ["10\\.1\\..*", "10x1.2.3", false, "and then only a dot"],
  ["br\\-lan", "br-lan", true, "RE2 lets a dash be escaped"],
  ["[a\\-c]0", "-0", true, "in a class too"],
  ["[a\\-c]0", "b0", false, "where it is no range"],
  ["eth\\_0|en\\:1", "en:1", true, "and other punctuation"],
  ["a\\\\-b", "a\\-b", true, "an escaped backslash is not an escape"],
  ["(?i)ETH", "eth0", true, "flags stand at the head"],
  ["^(?i)ETH", "eth0", true, "or behind the anchor"],
  ["fd00::", "fd00::1", true, "colons are letters"],
  ["ens[0-9]{1,2}$", "ens12", true, "digits in a class"],
];

for (const [source, text, isMatch, why] of matched) {
  Deno.test(`compileInterfaceRegex() of ${source} ${isMatch ? "matches" : "does not match"} ${text}: ${why}`, () => {
    assertEquals(compileInterfaceRegex(source).test(text), isMatch);
  });
}

const refused: [source: string, why: string][] = [
  ["eth(", "a parenthesis is open"],
  ["*eth", "there is nothing to repeat"],
  ["eth[", "a class is open"],
  ["[[:digit:]]", "it would mean a class of letters here"],
  ["\\Aeth", "it would mean the letter A here"],
  ["\\Qeth\\E", "it would mean the letter Q here"],
  ["(?P<name>eth)", "it is written otherwise here"],
];

for (const [source, why] of refused) {
  Deno.test(`compileInterfaceRegex() refuses ${source} in one line because ${why}`, () => {
    const { message } = assertThrows(
      () => compileInterfaceRegex(source),
      UsageError,
      "Cannot use -iface-regex ",
    );
    assertEquals(message.includes("\n"), false);
  });
}
