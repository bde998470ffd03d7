import { formatMac, type Ipv4, type Mac } from "../../src/model/address.ts";
import type { Lease } from "../../src/model/lease.ts";

/** `net-conf.json` of the benchmarks: room for 65,535 hosts. */
export const NETWORK = "10.0.0.0/8";

/** The lease of member `number`, from 1: subnet 10.H.L.0/24, underlay address 100.64.0.0 + number. */
export function member(number: number): Lease {
  const underlayAddress = 0x64400000 + number as Ipv4;
  return {
    host: String(underlayAddress),
    backendType: "vxlan",
    parts: [{
      subnet: { address: 0x0a000000 + number * 256 as Ipv4, length: 24 },
      underlayAddress,
      backendData: { VNI: 1, VtepMAC: formatMac(0x0e2a00000000 + number as Mac) },
    }],
  };
}

/** Members `first` to `last`. */
export function members(first: number, last: number): Lease[] {
  return Array.from({ length: last - first + 1 }, (_, index) => member(first + index));
}
