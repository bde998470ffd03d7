/**
 * The half of a relay that runs in a network namespace: takes connections at ARGS[0]:ARGS[1] and hands each on to the
 * Unix socket ARGS[2].
 *
 * @module
 */
const [hostname, port, path] = Deno.args as [string, string, string];

async function handOn(connection: Deno.Conn): Promise<void> {
  try {
    const other = await Deno.connect({ transport: "unix", path });
    await Promise.allSettled([
      connection.readable.pipeTo(other.writable),
      other.readable.pipeTo(connection.writable),
    ]);
  } catch {
    connection.close();
  }
}

const listener = Deno.listen({ hostname, port: Number(port) });
await Deno.stdout.write(new TextEncoder().encode("listening\n"));
for await (const connection of listener) {
  connection.setNoDelay(true);
  handOn(connection);
}
