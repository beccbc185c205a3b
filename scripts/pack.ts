// Packs what is published into .pack/*.tgz, from dist, without what only a clone can use.
//   npm run build && npm run pack
import { execFileSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";

/** A package that was packed. */
export interface Packed {
  readonly name: string;
  readonly tarball: string;
  /** Its folder in the repository. */
  readonly folder: string;
}

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly files?: readonly string[];
  exports?: Record<string, Record<string, string>>;
  devDependencies?: Record<string, string>;
}

/**
 * Packs every package that is not private. The condition that leads to the sources is taken out of the
 * manifest: there are none in a package, and Node strips no types under node_modules.
 */
export function packAll(into: string): readonly Packed[] {
  rmSync(into, { recursive: true, force: true });
  const packed: Packed[] = [];
  for (const path of globSync("{packages,apps}/*/package.json").toSorted()) {
    const manifest = JSON.parse(readFileSync(path, "utf8")) as Manifest;
    if (manifest.private === true) continue;
    const folder = dirname(path);
    const stage = join(into, "stage", manifest.name);
    mkdirSync(stage, { recursive: true });
    for (const name of [...(manifest.files ?? []), "README.md"]) {
      if (!existsSync(join(folder, name)))
        throw new Error(`${folder}/${name} is missing: build first`);
      cpSync(join(folder, name), join(stage, name), { recursive: true });
    }
    cpSync("LICENSE", join(stage, "LICENSE"));
    for (const conditions of Object.values(manifest.exports ?? {})) {
      delete conditions["@handfast/source"];
    }
    delete manifest.devDependencies;
    writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
    const [{ filename } = { filename: "" }] = JSON.parse(
      execFileSync("npm", ["pack", "--json", "--pack-destination", resolve(into)], {
        cwd: stage,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }),
    ) as { filename: string }[];
    packed.push({ name: manifest.name, tarball: resolve(into, filename), folder });
  }
  rmSync(join(into, "stage"), { recursive: true });
  return packed;
}

if (import.meta.main) for (const { tarball } of packAll(".pack")) console.log(tarball);
