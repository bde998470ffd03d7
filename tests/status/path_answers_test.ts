import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { parseAddress } from "../../src/model/address.ts";
import type { PathReport, PeerAnswer } from "../../src/model/peer_path.ts";
import { DoorRefusal } from "../../src/status/door_refusal.ts";
import type { StatusDeps } from "../../src/status/facts.ts";
import { answerPaths, answerPeerQuestion } from "../../src/status/path_answers.ts";

const REPORT: PathReport = {
  mode: "auto",
  port: 8475,
  peerCount: 1,
  peers: [{
    host: "n1",
    family: 10,
    state: "silent",
    reason: "it does not answer at all; it may be down",
    underlay: {
      state: "silent",
      roundTripMs: undefined,
      lossRatio: 0,
      mtu: { expectedBytes: 1500, foundBytes: undefined },
      askedAtMs: 1,
      answeredAtMs: undefined,
    },
  }],
  totals: { asked: 1, answered: 0, lost: 1, served: 0, refused: 0, roundTripMsSum: 0 },
};
const ANSWER: PeerAnswer = {
  network: "underlay",
  target: parseAddress("2001:db8::1"),
  packetBytes: 1500,
  roundTripMs: 1.5,
  view: {
    arrivedBytes: 1500,
    isDamaged: false,
    hears: { underlay: true, overlay: false },
    hearsOthers: true,
  },
};

function facts(given: Pick<StatusDeps, "paths" | "askPeer">): StatusDeps {
  return given as StatusDeps;
}

Deno.test("paths are told with their family by name", () => {
  const told = answerPaths(facts({ paths: () => REPORT }));
  assertEquals(told, { ...REPORT, peers: [{ ...REPORT.peers[0], family: "IPv6" }] });
});

Deno.test("a peer is asked by its name, and addresses are text", async () => {
  const asked: string[] = [];
  const askPeer = (host: string) => {
    asked.push(host);
    return Promise.resolve([ANSWER]);
  };
  const told = await answerPeerQuestion(facts({ askPeer }), new URLSearchParams("host=10.244.1.0-24"));
  assertEquals(told, { host: "10.244.1.0-24", answers: [{ ...ANSWER, target: "2001:db8::1" }] });
  assertEquals(asked, ["10.244.1.0-24"]);
});

Deno.test("where nobody probes, or no host is named, it is said so", async () => {
  assertThrows(() => answerPaths(facts({})), DoorRefusal, "-path-probes=off");
  await assertRejects(() => answerPeerQuestion(facts({}), new URLSearchParams("host=a")), DoorRefusal);
  await assertRejects(() => answerPeerQuestion(facts({}), new URLSearchParams()), DoorRefusal, "no host");
});
