import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  lstat,
  open,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { join } from "node:path";
import { createDirectory, walkToDirectory, writeFileAtomic } from "@handfast/files";
import { encodePrivateKey } from "@handfast/x509";
import { CaError } from "../errors.ts";
import { parseCredential, readIfThere, readKeyIfThere } from "./credential-pem.ts";
import type { CredentialPlace, FileAccess } from "./place.ts";
import type { PresentCredential } from "./renewer.ts";

/**
 * A directory in which `current` leads to `cert.pem` and `key.pem`: a new pair is written to a new
 * directory beside, and the link is replaced in one step (security.md S56). The pair before stays
 * until the next change, for whoever has just opened one of its files. Readers that open the two
 * files one after the other must still see that they belong together, as `identityFromFiles` does.
 */
export function placeInDirectory(
  directory: string,
  { mode = 0o600, owner }: FileAccess = {},
): CredentialPlace {
  const waiting = join(directory, "next-key.pem");
  const current = join(directory, link);

  return {
    description: directory,
    async read(): Promise<PresentCredential | undefined> {
      const [chain, key] = await Promise.all([
        readIfThere(join(current, "cert.pem")),
        readIfThere(join(current, "key.pem")),
      ]);
      if (chain === undefined && key === undefined) return undefined;
      if (chain !== undefined && key !== undefined) return parseCredential({ key, chain }, current);
      throw new CaError("CREDENTIAL_INVALID", `${current} holds one of cert.pem and key.pem only`);
    },
    next: () => readKeyIfThere(waiting),
    async keepNext(key): Promise<void> {
      await createDirectory(directory, { mode: 0o755 });
      await writeFileAtomic(waiting, encodePrivateKey(key), { mode: 0o600, overwrite: true });
    },
    async put(credential): Promise<void> {
      await createDirectory(directory, { mode: 0o755 });
      const place = await walkToDirectory(directory, { trusted: process.geteuid?.() === 0 });
      const before = await target(join(place, link));
      const made = `${prefix}${randomBytes(8).toString("hex")}`;
      try {
        await writePair(join(place, made), credential);
        await replaceLink(place, made);
      } catch (error) {
        await rm(join(place, made), { recursive: true, force: true });
        throw error;
      }
      await removeOthers(place, [made, before]);
      await rm(waiting, { force: true });
    },
  };

  async function writePair(
    pair: string,
    { chainPem, privateKey }: PresentCredential,
  ): Promise<void> {
    await createDirectory(pair, { mode: 0o700 });
    const access = { mode, ...(owner && { owner }) };
    await writeFileAtomic(join(pair, "key.pem"), encodePrivateKey(privateKey), access);
    await writeFileAtomic(join(pair, "cert.pem"), chainPem, { ...access, mode: 0o644 });
    // Nobody could look in before; now those may who may read the key.
    if (process.platform === "win32") return;
    if (owner !== undefined) await chown(pair, owner.uid, owner.gid);
    await chmod(pair, 0o700 | ((mode & 0o044) === 0 ? 0 : 0o055));
  }
}

/** A link of random name takes the place of the old one, which is not followed. */
async function replaceLink(place: string, to: string): Promise<void> {
  const there = await lstat(join(place, link)).catch(() => undefined);
  if (there !== undefined && !there.isSymbolicLink()) {
    throw new CaError(
      "CREDENTIAL_INVALID",
      `${join(place, link)} is there and is no link of ours`,
      {
        hint: "give the agent a directory of its own",
      },
    );
  }
  const temporary = join(place, `${temporaryPrefix}${randomBytes(8).toString("hex")}`);
  await symlink(to, temporary);
  try {
    await rename(temporary, join(place, link));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await sync(place);
}

/** The name of the pair in use, if it is one of ours. */
async function target(path: string): Promise<string | undefined> {
  const name = await readlink(path).catch(() => undefined);
  return name !== undefined && ours.test(name) ? name : undefined;
}

/** What earlier changes and crashes have left. */
async function removeOthers(place: string, kept: readonly (string | undefined)[]): Promise<void> {
  for (const name of await readdir(place)) {
    if (kept.includes(name) || !(ours.test(name) || oursInPassing.test(name))) continue;
    await rm(join(place, name), { recursive: true, force: true });
  }
}

async function sync(directory: string): Promise<void> {
  if (process.platform === "win32") return;
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const link = "current";
const prefix = ".pair-";
const temporaryPrefix = ".current-";
const ours = /^\.pair-[0-9a-f]{16}$/;
const oursInPassing = /^\.current-[0-9a-f]{16}$/;
