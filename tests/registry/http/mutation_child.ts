import { pairFault } from "../../../src/registry/http/tls_pair.ts";
import { pick, seededRandom } from "../../double/random.ts";

/** Makes clients of pairs with a few wrong bytes, as long as they pass, and prints how many did: a process that can be ended. */
if (import.meta.main) {
  const [folder, seed, count] = Deno.args as [string, string, string];
  const random = seededRandom(Number(seed));
  const below = (limit: number) => Math.floor(random() * limit);
  const names = ["p256", "p384", "p521", "rsa2048", "ed25519"];
  const pairs = names.map((name) =>
    ["crt", "key"].map((end) => Deno.readTextFileSync(`${folder}/${name}.${end}`)) as [string, string]
  );
  /** Changes, cuts or adds bytes within the DER of a PEM text. */
  const damage = (pem: string): string => {
    const [, label, base64] = /-----BEGIN ([A-Z ]+)-----([^-]*)/.exec(pem)!;
    let der = Uint8Array.fromBase64(base64!);
    for (let times = below(3); times >= 0; times--) {
      const at = below(der.length);
      const kind = below(4);
      if (kind === 0) der = der.slice(0, at + 1);
      else if (kind === 1) der = new Uint8Array([...der.slice(0, at), below(256), ...der.slice(at)]);
      else if (kind === 2) der[at] = below(256);
      else der[at]! ^= 1 << below(8);
    }
    return `-----BEGIN ${label}-----\n${der.toBase64()}\n-----END ${label}-----\n`;
  };
  let passed = 0;
  for (let n = 0; n < Number(count); n++) {
    let [cert, key] = pick(random, pairs);
    try {
      Deno.createHttpClient({ caCerts: [damage(cert)] }).close();
    } catch {
      // Of an authority it is told.
    }
    const what = below(3);
    if (what !== 0) cert = damage(cert);
    if (what !== 1) key = damage(key);
    if (pairFault({ cert, key }, { cert: "CERT", key: "KEY" }) !== undefined) continue;
    Deno.createHttpClient({ cert, key }).close();
    passed++;
  }
  await Deno.stdout.write(new TextEncoder().encode(String(passed)));
}
