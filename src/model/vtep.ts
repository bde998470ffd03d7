import { AF_INET, type Family } from "./address.ts";
import type { ObservedLink } from "./state.ts";

/** How VTEPs are called, also those of a VNI that is not in use any more: flannel's names, with the VNI. */
const VTEP_NAME = /^flannel(?:-v6)?\.(\d{1,8})$/;

/** The VTEP of one family, by name. */
export function vtepName(family: Family, vni: number): string {
  return family === AF_INET ? `flannel.${vni}` : `flannel-v6.${vni}`;
}

/** Whether a link is called as VTEPs are. */
export function isVtepName(name: string): boolean {
  return VTEP_NAME.test(name);
}

/** Whether a link is a VTEP of Loden's or flannel's. */
export function isOurVtep({ name, vxlan }: Pick<ObservedLink, "name" | "vxlan">): boolean {
  const vni = VTEP_NAME.exec(name)?.[1];
  return vni !== undefined && vxlan?.vni === Number(vni);
}
