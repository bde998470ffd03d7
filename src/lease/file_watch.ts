import { basename, dirname } from "node:path";

/**
 * Calls `changed` when somebody writes, replaces or removes the file at `path`, or one whose name begins with its
 * name, as SQLite's `-wal`.
 *
 * @returns `undefined` where the system has no more watches to give (inotify(7), `max_user_watches`).
 */
export function watchFile(path: string, changed: () => void): Disposable | undefined {
  let watcher: Deno.FsWatcher;
  try {
    watcher = Deno.watchFs(dirname(path), { recursive: false });
  } catch {
    return undefined;
  }
  const name = basename(path);
  (async () => {
    for await (const { kind, paths } of watcher) {
      if (kind !== "access" && paths.some((changed) => basename(changed).startsWith(name))) changed();
    }
  })();
  let isOpen = true;
  return {
    [Symbol.dispose]() {
      if (isOpen) watcher.close();
      isOpen = false;
    },
  };
}
