import { assertEquals } from "@std/assert";
import { passwordIn, shownUrl } from "../../src/log/shown_url.ts";

const rows: readonly [url: string, shown: string, password: string | undefined][] = [
  ["http://192.0.2.1:2379", "http://192.0.2.1:2379", undefined],
  ["https://user:pa%40ss@host:1/x", "https://host:1/x", "pa@ss"],
  ["https://user@host", "https://host", undefined],
  ["https://u:a@b@host/", "https://host/", "a@b"],
  ["https://u:100%@host", "https://host", "100%"],
  ["htps://user:pass@host", "htps://host", "pass"],
  ["user:pass@host:2379", "host:2379", undefined],
  ["//user:pass@host", "//host", undefined],
  ["https://host/path@x?y@z", "https://host/path@x?y@z", undefined],
  ["", "", undefined],
];

for (const [url, shown, password] of rows) {
  Deno.test(`${url} is shown as ${shown}, and its password is ${password}`, () => {
    assertEquals([shownUrl(url), passwordIn(url)], [shown, password]);
  });
}
