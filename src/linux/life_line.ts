const SYMBOLS = {
  // int pipe2(int fds[2], int flags)
  pipe2: { parameters: ["buffer", "i32"], result: "i32" },
  // int fcntl(int fd, int operation, ...), with a long behind
  fcntl: { parameters: ["i32", "i32", "isize"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Of open(2) and fcntl(2). */
const O_CLOEXEC = 0o2000000;
const O_ASYNC = 0o20000;
const F_SETFD = 2;
const F_SETFL = 4;
const F_SETOWN = 8;
const F_SETSIG = 10;
const SIGKILL = 9;

/**
 * Has the kernel end a process group when this process ends, also by SIGKILL: a pipe whose other end only this process
 * has. Its reading end is inherited by what is started while the line is open, and tells the group with SIGKILL, by the
 * signals of fcntl(2), that nobody writes any more.
 *
 * Other than `PR_SET_PDEATHSIG` of prctl(2) it needs nothing to be done in the child before it runs its program, and it
 * reaches what that has started.
 */
export class LifeLine implements Disposable {
  readonly #library: Deno.DynamicLibrary<typeof SYMBOLS>;
  readonly #reader: number;
  readonly #writer: number;

  private constructor(library: Deno.DynamicLibrary<typeof SYMBOLS>, [reader, writer]: Int32Array) {
    this.#library = library;
    this.#reader = reader!;
    this.#writer = writer!;
  }

  /** Opens a line; `undefined` where the process may have no more files. The library is opened for this one line. */
  static open(): LifeLine | undefined {
    const library = Deno.dlopen("libc.so.6", SYMBOLS);
    const fds = new Int32Array(2);
    if (library.symbols.pipe2(new Uint8Array(fds.buffer), O_CLOEXEC) !== 0) {
      library.close();
      return undefined;
    }
    const line = new LifeLine(library, fds);
    library.symbols.fcntl(line.#reader, F_SETFD, 0n);
    return line;
  }

  /** Ties a process group to the line, which its leader has inherited. Returns whether that was possible. */
  tie(leader: number): boolean {
    const operations = [[F_SETOWN, -leader], [F_SETSIG, SIGKILL], [F_SETFL, O_ASYNC]] as const;
    return operations.every(([operation, argument]) =>
      this.#library.symbols.fcntl(this.#reader, operation, BigInt(argument)) === 0
    );
  }

  /** Cuts the line: what is left of the group goes its own way. */
  [Symbol.dispose](): void {
    const { fcntl, close } = this.#library.symbols;
    fcntl(this.#reader, F_SETFL, 0n);
    close(this.#reader);
    close(this.#writer);
    this.#library.close();
  }
}
