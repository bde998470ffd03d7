import { type Json, refusal } from "../../double/api_objects.ts";
import type { ApiServerDouble, Backup } from "../../double/api_server.ts";
import { errorEvent, type Misdeed, type RequestKind } from "../../double/misdeeds.ts";
import { pick, SEED, seededRandom } from "../../double/random.ts";
import { bareNode, KEYS, KubeHost, memberNode, onTheDouble } from "./servers.ts";

const ROUNDS = 6;
const STEPS = 150;
const NUMBERS = [2, 3, 4, 5, 6, 7] as const;
const CODES = [400, 401, 404, 410, 429, 500, 503, 504] as const;

/** Something that a server may do wrong. */
function someMisdeed(random: () => number): Misdeed {
  const kind = pick<RequestKind>(random, ["get", "list", "watch", "watch"]);
  const bytes = Math.floor(random() * 2000);
  const refuse = refusal(pick(random, CODES), "", "not now");
  const others: Omit<Misdeed, "kind">[] = [
    { refuse, times: 1 + Math.floor(random() * 4) },
    { refuse: refusal(429, "TooManyRequests", "not now"), retryAfter: "1" },
    { delayMs: random() * 100 },
    { silentAfterBytes: bytes },
    { cutAfterBytes: bytes },
    { garbage: { text: pick(random, ["<html>", "{}{}", "]", '{"type":7}\n', "\0"]), afterBytes: bytes } },
    { bytesPerSecond: 1 },
    { answer: { kind: "NodeList", metadata: { resourceVersion: "1" }, items: [] } },
    { answer: {} },
    { endless: pick(random, [" ", "{}", '{"type":"BOOKMARK"}']) },
    { events: [errorEvent(refuse)] },
    { events: [someOldEvent(random)] },
  ];
  return { kind, ...pick(random, others) };
}

function someOldEvent(random: () => number): Json {
  const number = pick(random, NUMBERS);
  const { metadata } = memberNode(`n${number}`, "", "192.0.2.250");
  const object = { metadata: { ...metadata as Json, resourceVersion: "1", uid: "uid-of-another" } };
  return { type: pick(random, ["ADDED", "MODIFIED", "DELETED", "UNKNOWN"]), object };
}

/** Something that happens to a cluster. */
async function changeSomething(server: ApiServerDouble, random: () => number): Promise<void> {
  const number = pick(random, NUMBERS);
  const name = `n${number}`;
  const node = await server.node(name);
  if (node === undefined) {
    const subnet = `10.244.${pick(random, [number, number + 100])}.0/24`;
    await server.createNode(
      random() < 0.8 ? memberNode(name, subnet, `192.0.2.${number}`) : bareNode(name, [subnet]),
    );
  } else if (random() < 0.3) await server.deleteNode(name);
  else {
    const annotations = pick<Json>(random, [
      { [KEYS.address[2]]: `192.0.2.${Math.floor(random() * 250)}` },
      { [KEYS.managed]: "true", [KEYS.backendType]: "vxlan", [KEYS.address[2]]: `192.0.2.${number}` },
      { [KEYS.managed]: null },
      { [KEYS.data[2]]: "{" },
      { [KEYS.data[2]]: '{"VtepMAC":"0e:00:00:00:00:01"}' },
    ]);
    await server.patchNode(name, { metadata: { annotations } });
  }
}

/** What a fresh start finds. */
async function truth(server: ApiServerDouble): Promise<string[]> {
  await using host = new KubeHost(server);
  return await host.snapshot();
}

for (let round = 0; round < ROUNDS; round++) {
  const seed = (SEED + round) % 2 ** 31;
  onTheDouble(
    `whatever a server does wrong, what is known in the end is true, seed ${seed}`,
    async (server) => {
      const random = seededRandom(seed);
      server.streamsLists = random() < 0.5;
      server.chunkBytes = pick(random, [1, 100, Infinity]);
      let backup: Backup | undefined;
      await using host = new KubeHost(server);
      host.follow();
      for (let step = 0; step < STEPS; step++) {
        const dice = random();
        if (dice < 0.6) await changeSomething(server, random);
        else if (dice < 0.85) server.misdeeds.add(someMisdeed(random));
        else if (dice < 0.92) server.dropWatches();
        else if (dice < 0.94) server.compact();
        else if (dice < 0.96) backup = server.backUp();
        else if (dice < 0.98 && backup !== undefined) {
          server.restore(backup);
          server.dropWatches();
        } else {
          await server.stop();
          await server.start();
        }
        if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 20));
      }
      // All is well again; what is silent is cut off, as by a restart.
      server.misdeeds.clear();
      await server.stop();
      await server.start();
      await host.sees(...await truth(server));
    },
  );
}
