import type { EniChoice } from "../../config/aws_schema.ts";
import { type Address, formatAddress } from "../../model/address.ts";
import type { AttachedInterface, InstanceFacts } from "./metadata.ts";

/**
 * The network interface of this instance that a configuration means; a sentence where there is none, or several.
 *
 * @param underlay The addresses of the underlay link.
 * @param tagged Those of this instance that have the tag, as EC2 says; empty where none is asked for.
 */
export function chooseInterface(
  { instanceId, interfaces }: InstanceFacts,
  choice: Exclude<EniChoice, { readonly kind: "managed" }>,
  { underlay, tagged }: { readonly underlay: readonly Address[]; readonly tagged: readonly string[] },
): AttachedInterface | string {
  const has = interfaces.map(({ id, deviceIndex }) => `${id} (device ${deviceIndex})`).join(", ");
  const found = interfaces.filter((one) => isMeant(one, choice, { underlay, tagged }));
  if (found.length === 1) return found[0]!;
  const what = describe(choice, underlay);
  if (found.length === 0) return `no network interface of ${instanceId} ${what}; it has ${has}`;
  return `more than one network interface of ${instanceId} ${what}: ${
    found.map(({ id }) => id).join(", ")
  }; name one`;
}

function isMeant(
  one: AttachedInterface,
  choice: Exclude<EniChoice, { readonly kind: "managed" }>,
  { underlay, tagged }: { readonly underlay: readonly Address[]; readonly tagged: readonly string[] },
): boolean {
  switch (choice.kind) {
    case "auto":
      return one.addresses.some((address) =>
        underlay.some((own) => formatAddress(own) === formatAddress(address))
      );
    case "id":
      return one.id === choice.id;
    case "device-index":
      return one.deviceIndex === choice.deviceIndex;
    case "tag":
      return tagged.includes(one.id);
  }
}

function describe(
  choice: Exclude<EniChoice, { readonly kind: "managed" }>,
  underlay: readonly Address[],
): string {
  switch (choice.kind) {
    case "auto":
      return `has the address ${underlay.map(formatAddress).join(" or ")} of the underlay`;
    case "id":
      return `is ${choice.id}`;
    case "device-index":
      return `has device index ${choice.deviceIndex}`;
    case "tag":
      return `has the tag ${choice.key}=${choice.value}`;
  }
}
