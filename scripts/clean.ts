// Removes what `tsc -b` wrote: it leaves files behind whose source is gone.
import { globSync, rmSync } from "node:fs";

for (const path of globSync(["{packages,apps}/*/dist", "{packages,apps}/*/*.tsbuildinfo"])) {
  rmSync(path, { recursive: true });
}
