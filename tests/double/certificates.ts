/** A certificate and its key, as files and as texts. */
export interface Certificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly certPem: string;
  readonly keyPem: string;
}

/** An authority of its own for one test. */
export interface Authority {
  readonly caFile: string;
  readonly caPem: string;
  /** Issues a certificate for both sides of TLS: etcd's own must be good for clients too. */
  issue(
    subject: { name: string; commonName: string; organization?: string; addresses?: readonly string[] },
  ): Promise<Certificate>;
}

/** Makes an authority; its files are in `folder`. */
export async function makeAuthority(folder: string): Promise<Authority> {
  const [caFile, caKeyFile] = [`${folder}/ca.crt`, `${folder}/ca.key`];
  await openssl(
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=Loden test authority", "-addext", "keyUsage=critical,keyCertSign,digitalSignature"],
    ...["-keyout", caKeyFile, "-out", caFile],
  );
  return {
    caFile,
    caPem: await Deno.readTextFile(caFile),
    issue: async ({ name, commonName, organization, addresses = [] }) => {
      const [certFile, keyFile, requestFile] = [
        `${folder}/${name}.crt`,
        `${folder}/${name}.key`,
        `${folder}/${name}.csr`,
      ];
      const subject = `${organization === undefined ? "" : `/O=${organization}`}/CN=${commonName}`;
      await openssl(
        ...[
          "req",
          "-new",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-subj",
          subject,
        ],
        ...["-keyout", keyFile, "-out", requestFile],
      );
      const extensions = `${folder}/${name}.ext`;
      const names = ["DNS:localhost", ...addresses.map((address) => `IP:${address}`)].join(",");
      await Deno.writeTextFile(
        extensions,
        `subjectAltName=${names}\nextendedKeyUsage=serverAuth,clientAuth\n`,
      );
      await openssl(
        ...[
          "x509",
          "-req",
          "-in",
          requestFile,
          "-CA",
          caFile,
          "-CAkey",
          caKeyFile,
          "-CAcreateserial",
          "-days",
          "2",
        ],
        ...["-extfile", extensions, "-out", certFile],
      );
      const [certPem, keyPem] = await Promise.all([certFile, keyFile].map((path) => Deno.readTextFile(path)));
      return { certFile, keyFile, certPem: certPem!, keyPem: keyPem! };
    },
  };
}

/** Makes an RSA key in the old form, the only one that kube-apiserver signs service accounts' tokens with. */
export async function makeRsaKey(path: string): Promise<void> {
  await openssl("genrsa", "-traditional", "-out", path, "2048");
}

/** Runs openssl, which has to succeed. */
export async function openssl(...args: readonly string[]): Promise<void> {
  const command = new Deno.Command("openssl", {
    args: [...args],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  });
  const { success, stderr } = await command.output();
  if (!success) throw new Error(`Cannot run openssl ${args[0]}: ${new TextDecoder().decode(stderr)}`);
}
