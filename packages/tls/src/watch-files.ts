import { watchFile } from "@handfast/files";

/** Watches several files as one: `changed` is called when any of them has other bytes than before. */
export function watchFiles(
  paths: readonly string[],
  options: { maxBytes: number; changed: () => void },
): () => void {
  const { maxBytes, changed } = options;
  const watches = paths.map((path) =>
    watchFile(path, { maxBytes, onChange: changed, onError: changed }),
  );
  return () => {
    for (const watch of watches) watch.close();
  };
}
