import { NetlinkError } from "./errno.ts";

const SYMBOLS = {
  // int socket(int domain, int type, int protocol)
  socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
  // int bind(int fd, const struct sockaddr *addr, socklen_t addrlen)
  bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int connect(int fd, const struct sockaddr *addr, socklen_t addrlen)
  connect: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int listen(int fd, int backlog)
  listen: { parameters: ["i32", "i32"], result: "i32" },
  // int accept4(int fd, struct sockaddr *addr, socklen_t *addrlen, int flags)
  accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
  // int shutdown(int fd, int how)
  shutdown: { parameters: ["i32", "i32"], result: "i32" },
  // int ioctl(int fd, unsigned long request, void *argument)
  ioctl: { parameters: ["i32", "usize", "buffer"], result: "i32" },
  // int getsockname(int fd, struct sockaddr *addr, socklen_t *addrlen)
  getsockname: { parameters: ["i32", "buffer", "buffer"], result: "i32" },
  // int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
  setsockopt: { parameters: ["i32", "i32", "i32", "buffer", "u32"], result: "i32" },
  // int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" },
  // ssize_t send(int fd, const void *buffer, size_t length, int flags); lengths here stay below 2^31
  send: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  // ssize_t recv(int fd, void *buffer, size_t length, int flags)
  recv: { parameters: ["i32", "buffer", "usize", "i32"], result: "i32" },
  // ssize_t sendto(int fd, const void *buffer, size_t length, int flags, const struct sockaddr *addr, socklen_t addrlen)
  sendto: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "u32"], result: "i32" },
  // ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *addr, socklen_t *addrlen)
  recvfrom: { parameters: ["i32", "buffer", "usize", "i32", "buffer", "buffer"], result: "i32" },
  // int poll(struct pollfd *fds, nfds_t count, int timeout), off the main thread: no errno from this one
  poll: { parameters: ["buffer", "usize", "i32"], result: "i32", nonblocking: true },
  // int eventfd(unsigned int initial, int flags)
  eventfd: { parameters: ["u32", "i32"], result: "i32" },
  // int eventfd_write(int fd, eventfd_t value)
  eventfd_write: { parameters: ["i32", "u64"], result: "i32" },
  // int inotify_init1(int flags)
  inotify_init1: { parameters: ["i32"], result: "i32" },
  // int inotify_add_watch(int fd, const char *path, uint32_t mask)
  inotify_add_watch: { parameters: ["i32", "buffer", "u32"], result: "i32" },
  // int inotify_rm_watch(int fd, int wd)
  inotify_rm_watch: { parameters: ["i32", "i32"], result: "i32" },
  // int open(const char *path, int flags)
  open: { parameters: ["buffer", "i32"], result: "i32" },
  // ssize_t read(int fd, void *buffer, size_t length)
  read: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // The same two off the main thread, for files that may be on a file system that hangs: no errno from these
  openAside: { name: "open", parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  readAside: { name: "read", parameters: ["i32", "buffer", "usize"], result: "i32", nonblocking: true },
  // ssize_t write(int fd, const void *buffer, size_t length)
  write: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // ssize_t getdents64(int fd, void *entries, size_t length)
  getdents64: { parameters: ["i32", "buffer", "usize"], result: "i32" },
  // int mkdir(const char *path, mode_t mode)
  mkdir: { parameters: ["buffer", "u32"], result: "i32" },
  // int rmdir(const char *path)
  rmdir: { parameters: ["buffer"], result: "i32" },
  // int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
  mount: { parameters: ["buffer", "buffer", "buffer", "usize", "buffer"], result: "i32" },
  // int unshare(int flags), of this thread alone
  unshare: { parameters: ["i32"], result: "i32" },
  // int setns(int fd, int type)
  setns: { parameters: ["i32", "i32"], result: "i32" },
  // uid_t geteuid(void)
  geteuid: { parameters: [], result: "u32" },
  // int prlimit(pid_t pid, int resource, const struct rlimit *new, struct rlimit *old)
  prlimit: { parameters: ["i32", "i32", "buffer", "buffer"], result: "i32" },
  // int kill(pid_t pid, int signal)
  kill: { parameters: ["i32", "i32"], result: "i32" },
  // int close(int fd)
  close: { parameters: ["i32"], result: "i32" },
  // int fchmod(int fd, mode_t mode)
  fchmod: { parameters: ["i32", "u32"], result: "i32" },
  // int malloc_trim(size_t pad), malloc_trim(3)
  malloc_trim: { parameters: ["usize"], result: "i32" },
  // int *__errno_location(void)
  __errno_location: { parameters: [], result: "pointer" },
} as const satisfies Deno.ForeignLibraryInterface;

type Library = Deno.DynamicLibrary<typeof SYMBOLS>;

/** `O_RDONLY | O_CLOEXEC` and `O_WRONLY | O_CLOEXEC` of open(2). */
const O_RDONLY = 0o2000000;
const O_WRONLY = 0o2000001;
/** `CLONE_NEWNET` of setns(2). */
const CLONE_NEWNET = 0x40000000;

/** Bytes that a sysctl file is read with; longer ones are cut. */
const SYSCTL_BYTES = 4096;

/** The C library: the only door of this program to system calls that Deno does not have. */
export class Libc implements Disposable {
  readonly #library: Library;
  readonly call: Library["symbols"];
  readonly #errno: Deno.UnsafePointerView;

  constructor() {
    this.#library = Deno.dlopen("libc.so.6", SYMBOLS);
    this.call = this.#library.symbols;
    // The place is the thread's own and stays where it is; synchronous calls all run on this thread.
    this.#errno = new Deno.UnsafePointerView(this.call.__errno_location()!);
  }

  /** The error number of the last synchronous call that failed. */
  get errno(): number {
    return this.#errno.getInt32();
  }

  /**
   * Passes a result through unless it says that the call failed.
   *
   * @throws {NetlinkError} If `result` is negative.
   */
  checked(action: string, result: number): number {
    if (result < 0) throw new NetlinkError(action, this.errno);
    return result;
  }

  /**
   * Opens a file of proc(5) or sysfs to be read.
   *
   * @throws {NetlinkError} If it cannot be opened.
   */
  open(path: string): number {
    return this.checked(`read ${path}`, this.call.open(cString(path), O_RDONLY));
  }

  /**
   * Reads a file of proc(5) or sysfs, trimmed.
   *
   * @throws {NetlinkError} If it cannot be opened or read.
   */
  readSysctl(path: string): string {
    const fd = this.open(path);
    try {
      const buffer = new Uint8Array(SYSCTL_BYTES);
      const length = this.checked(`read ${path}`, this.call.read(fd, buffer, BigInt(buffer.length)));
      return new TextDecoder().decode(buffer.subarray(0, length)).trim();
    } finally {
      this.call.close(fd);
    }
  }

  /**
   * Writes a file of proc(5) or sysfs.
   *
   * @throws {NetlinkError} If it cannot be opened or written.
   */
  writeSysctl(path: string, value: string): void {
    const fd = this.checked(`write ${path}`, this.call.open(cString(path), O_WRONLY));
    try {
      const bytes = new TextEncoder().encode(value);
      this.checked(`write ${value} to ${path}`, this.call.write(fd, bytes, BigInt(bytes.length)));
    } finally {
      this.call.close(fd);
    }
  }

  /**
   * Calls `action` with this thread in the network namespace at `path`. What it opens stays in that namespace.
   * Nothing else can run on this thread in between, as `action` does not wait.
   *
   * @throws {NetlinkError} If the namespace cannot be entered.
   */
  inNetns<T>(path: string, action: () => T): T {
    const enter = (name: string) => this.checked(`enter ${name}`, this.call.open(cString(name), O_RDONLY));
    const home = enter("/proc/thread-self/ns/net");
    try {
      const there = enter(path);
      try {
        this.checked(`enter ${path}`, this.call.setns(there, CLONE_NEWNET));
        try {
          return action();
        } finally {
          this.checked("return to this network namespace", this.call.setns(home, CLONE_NEWNET));
        }
      } finally {
        this.call.close(there);
      }
    } finally {
      this.call.close(home);
    }
  }

  [Symbol.dispose](): void {
    this.#library.close();
  }
}

/** A C string: the text's UTF-8 bytes and a zero. */
export function cString(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(`${text}\0`);
}
