import type { Libc } from "../../src/linux/libc.ts";

const EMFILE = 24;

/** The C library of a process that has no descriptors left for connections while `isFull`. */
export class FullProcess {
  isFull = true;
  readonly libc: Libc;

  constructor(real: Libc) {
    const { accept4 } = real.call;
    const call = {
      ...real.call,
      accept4: (...args: Parameters<typeof accept4>) => this.isFull ? -1 : accept4(...args),
    };
    this.libc = Object.create(real, {
      call: { value: call },
      errno: { get: () => this.isFull ? EMFILE : real.errno },
    });
  }
}
