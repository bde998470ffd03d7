import { type ForwardEnd, forwardFate, type Refusal } from "../../firewall/forwarded.ts";
import { familyOf, type Prefix } from "../../model/address.ts";
import type { ObservedLink } from "../../model/state.ts";
import { vtepName } from "../../model/vtep.ts";
import { HOOK, type NftChain } from "../../nftables/objects.ts";
import { bookKey, type WalkedBook } from "../../nftables/rule_book.ts";
import { placeText, remedyOf } from "../../nftables/place_words.ts";

/** Where packets of pods come from and go to. */
export interface ForwardScene {
  readonly families: readonly { readonly network: Prefix; readonly subnet: Prefix }[];
  readonly links: readonly ObservedLink[];
  /** The bridge that pods are on; `undefined` where that is not known. */
  readonly bridge: string | undefined;
  readonly vni: number | undefined;
  /** The link that packets leave by where they are not encapsulated. */
  readonly underlay: string;
}

/** What rules do with packets between the pods of this host and those of others. */
export type Played =
  /** All get through, as far as rules tell. */
  | { readonly fate: "through" }
  /** Some may be refused, or the links are not there yet. */
  | { readonly fate: "unknown" }
  | { readonly fate: "refused"; readonly texts: readonly Refused[] };

/** What refuses all packets of one kind, and what to do. */
export interface Refused {
  readonly text: string;
  readonly remedy: string;
}

/** Plays packets from the pods of this host to those of others, and back. */
export function playForward(book: WalkedBook, scene: ForwardScene): Played {
  const linkOf = (name: string | undefined) => scene.links.find((link) => link.name === name);
  const bridge = linkOf(scene.bridge);
  if (bridge === undefined) return { fate: "unknown" };
  let isOpen = false;
  const refused = new Map<string, Refused>();
  for (const { network, subnet } of scene.families) {
    const family = familyOf(network.address);
    const link = linkOf(scene.vni === undefined ? scene.underlay : vtepName(family, scene.vni));
    if (link === undefined) return { fate: "unknown" };
    const pods: ForwardEnd = { prefix: subnet, link: bridge, isBridge: true };
    const others: ForwardEnd = { prefix: network, link, carriedBy: carriedBy(link, scene.links) };
    for (
      const [from, to, whose] of [[pods, others, "of pods here"], [others, pods, "to pods here"]] as const
    ) {
      const fate = forwardFate(book, from, to);
      isOpen ||= fate.isOpen || fate.isDoubted;
      if (fate.refusal === undefined) continue;
      const said = refusedOf(fate.refusal, whose);
      refused.set(said.text, said);
    }
  }
  if (refused.size > 0) return { fate: "refused", texts: [...refused.values()] };
  return { fate: isOpen ? "unknown" : "through" };
}

/**
 * The chains of forwarded packets that may refuse some of these, each by itself; as {@linkcode bookKey} has them. What
 * other chains do says nothing about one that accepts them all.
 */
export function chainsInTheWay(book: WalkedBook, scene: ForwardScene): ReadonlySet<string> {
  const isForward = ({ base }: NftChain) => base?.hook === HOOK.forward;
  const jumpedTo = book.chains.filter(({ base }) => base === undefined);
  const inTheWay = book.chains.filter((chain) =>
    isForward(chain) && playForward({ ...book, chains: [...jumpedTo, chain] }, scene).fate !== "through"
  );
  return new Set(inTheWay.map(bookKey));
}

/** What carries packets that come in by a link. */
function carriedBy({ vxlan }: ObservedLink, links: readonly ObservedLink[]): ForwardEnd["carriedBy"] {
  if (vxlan?.local === undefined) return undefined;
  const { port, local, underlayLinkIndex } = vxlan;
  return { port, local, link: links.find(({ linkIndex }) => linkIndex === underlayLinkIndex) };
}

function refusedOf({ by, does, isOfAnswers }: Refusal, whose: string): Refused {
  const what = isOfAnswers ? "the answers among all packets" : "all packets";
  return "chain" in by
    ? { text: `${placeText(by)} ${does} ${what} ${whose}`, remedy: remedyOf(by) }
    : { text: `a policy of IPsec ${does} ${what} ${whose}`, remedy: "see ip xfrm policy" };
}
