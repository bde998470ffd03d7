import { assertEquals } from "@std/assert";
import type { LabHost } from "../../src/lab/host.ts";
import { httpGet } from "../double/overlay_http.ts";
import type { Libc } from "../../src/linux/libc.ts";
import { openssl } from "../double/certificates.ts";
import { hostsOf, statusOf, until, untilReady, untilUnready } from "../double/overlay_rig.ts";
import { ETCD_PREFIX, withEtcdOverlay } from "../double/overlay_servers.ts";
import { flannelValue } from "../registry/etcd/etcd_world.ts";

/** Waits until a host that is ready has a note with these words, or none of certificates. */
async function untilNoted(libc: Libc, host: LabHost, words: string | undefined): Promise<void> {
  let notes: readonly string[] = [];
  await until(`see ${words ?? "no note"} at ${host.name}`, async () => {
    const status = await statusOf(libc, host);
    if (status?.ready !== true) return undefined;
    notes = status.notes;
    return words === undefined
      ? notes.every((note) => !note.includes("what was read before stays")) || undefined
      : notes.some((note) => note.includes(words)) || undefined;
  }, () => notes.join("; "));
}

Deno.test("agents live through certificates that can't be used, at a renewal and at the start, and name the file", async () => {
  await withEtcdOverlay(async ({ lab, libc, server, relay, flags }) => {
    const [h1, h2, h3] = hostsOf(lab);
    const { certFile, keyFile } = server.access.tls as { certFile: string; keyFile: string };
    const first = { cert: await Deno.readTextFile(certFile), key: await Deno.readTextFile(keyFile) };
    const second = await server.authority!.issue({ name: "second", commonName: "host" });
    /** Replaces a file as renewals do, while all connections drop. */
    const renew = async (file: string, text: string) => {
      await Deno.writeTextFile(`${file}.new`, text);
      await Deno.rename(`${file}.new`, file);
      await relay.stop();
      // Each has been refused a connection, and looks at its files before the next one.
      for (const host of lab.hosts) {
        await until(
          `be refused at ${host.name}`,
          async () =>
            (await httpGet(libc, host.netns, "/readyz"))?.body.includes("Connection refused") || undefined,
        );
      }
      await relay.start();
    };
    for (const host of lab.hosts) await untilReady(libc, host);

    await renew(certFile, second.certPem);
    const mismatch = `the key ${keyFile} is not the one of the certificate ${certFile}`;
    for (const host of lab.hosts) await untilNoted(libc, host, mismatch);

    // One that starts now has nothing to ask with; what it knew stays in place.
    await h3.stopAgent("SIGTERM");
    await Deno.remove(`${h3.directory}/leases.json`);
    h3.startAgent(flags);
    await untilUnready(libc, h3, `: ${mismatch}`);

    await renew(keyFile, second.keyPem);
    for (const host of lab.hosts) {
      await untilReady(libc, host);
      await untilNoted(libc, host, undefined);
    }

    // Version 1, as openssl makes it by itself.
    const [request, old] = [`${keyFile}.csr`, `${keyFile}.crt`];
    await openssl("req", "-new", "-key", keyFile, "-subj", "/CN=host", "-out", request);
    const authority = server.authority!.caFile;
    await openssl(
      ...["x509", "-req", "-in", request, "-CA", authority, "-CAkey", authority.replace(".crt", ".key")],
      ...["-CAcreateserial", "-days", "2", "-out", old],
    );
    await renew(certFile, await Deno.readTextFile(old));
    for (const host of lab.hosts) {
      await untilNoted(libc, host, `the certificate ${certFile} is of X.509 version 1`);
    }
    // The registry is followed all the same.
    await server.put(`${ETCD_PREFIX}/subnets/10.244.200.0-24`, flannelValue("198.51.100.7"));
    for (const host of [h1, h2]) {
      await until(
        `see the route on ${host.name}`,
        async () =>
          (await host.exec("ip", "route", "show", "10.244.200.0/24")).stdout.includes("flannel.1") ||
          undefined,
      );
    }

    await renew(keyFile, first.key);
    await renew(certFile, first.cert);
    for (const host of lab.hosts) await untilNoted(libc, host, undefined);
    assertEquals(lab.hosts.map(({ agent }) => agent?.end), [undefined, undefined, undefined]);
  }, { withTls: true });
});
