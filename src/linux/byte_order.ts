/** The kernel speaks in host byte order; every platform that Deno is built for is little-endian. */
export const LITTLE_ENDIAN = true;
