import { randomBytes } from "node:crypto";
import { open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { createDirectory, FilesError, readBounded, writeFileAtomic } from "@handfast/files";
import { certificatesToPem, encodePem } from "@handfast/x509";
import { createAuthority } from "./authority.ts";
import type { Authority, AuthorityOptions } from "./authority.ts";
import type { TrustBundle } from "./bundle.ts";
import { CaError } from "./errors.ts";
import { establishAuthority } from "./establish.ts";
import type { EstablishedAuthority, EstablishOptions } from "./establish.ts";
import { keysFromDirectory } from "./keys.ts";
import type { KeyDirectoryOptions, KeyStore } from "./keys.ts";
import { openPostgresStore } from "./store/postgres.ts";
import { openSqliteStore } from "./store/sqlite.ts";
import type { CrlRecord, Store } from "./store/store.ts";

/** The paths of an authority that lives in a folder. */
export interface AuthorityHome {
  /** Mode 0700; nobody but root and ourselves may be able to write it, nor any folder above. */
  readonly directory: string;
  /** The inventory, if it is in SQLite. */
  readonly store: string;
  /** Names the database, if the inventory is in PostgreSQL; mode 0600, for it may hold a password. */
  readonly databaseUrl: string;
  /** What peers trust: the roots, nothing else. */
  readonly bundle: string;
  /** The newest revocation list of each of the authority's keys, as `ISSUER.crl` (PEM). */
  readonly crls: string;
}

/** Where the parts of an authority are in a home folder. */
export function authorityHome(home: string): AuthorityHome {
  return pathsIn(join(home, "ca"));
}

/**
 * Makes an authority in a home folder, whole or not at all: it is put together in a folder beside
 * its place and takes its place in one step. The root signs its first, empty revocation list, so
 * that it can go offline for a year.
 *
 * @throws CaError AUTHORITY_EXISTS; FilesError DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED; those of
 * `establishAuthority`
 */
export async function initAuthorityHome(
  home: string,
  options: InitAuthorityOptions,
): Promise<EstablishedAuthority> {
  const place = authorityHome(home).directory;
  await refuseOccupied(place);
  await createDirectory(home, { trustedDirectory: true });
  const workshop = `${place}.new-${randomBytes(8).toString("hex")}`;
  try {
    const established = await build(workshop, options);
    await takePlace(workshop, { place, home });
    return established;
  } catch (error) {
    await rm(workshop, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Opens the authority of a home folder. Its keys are read when they are first needed, and the
 * root's key never for issuing.
 *
 * @throws CaError AUTHORITY_NOT_FOUND, STORE_UNKNOWN, STORE_NEWER, STORE_BUSY, STORE_FAILED
 */
export async function openAuthorityHome(
  home: string,
  options: OpenAuthorityOptions = {},
): Promise<Authority> {
  return (await openAuthorityParts(home, options)).authority;
}

/** What the authority of a home folder is to be. */
export interface InitAuthorityOptions
  extends Omit<EstablishOptions, "store" | "keys">, KeyDirectoryOptions {
  /**
   * `postgres://…`: keeps the inventory there, for several instances, each with a copy of the folder.
   * SQLite in the folder if not given.
   */
  readonly databaseUrl?: string;
}

/** How the authority of a home folder is opened. */
export interface OpenAuthorityOptions
  extends Omit<AuthorityOptions, "store" | "keys">, KeyDirectoryOptions {}

/** An authority with what it stands on, for whoever serves it: an ACME server needs all three. */
export interface AuthorityParts {
  readonly authority: Authority;
  readonly store: Store;
  readonly keys: KeyStore;
}

/** As `openAuthorityHome`. The store is closed with the authority. */
export async function openAuthorityParts(
  home: string,
  { passphrase, clearKeys, ...rest }: OpenAuthorityOptions = {},
): Promise<AuthorityParts> {
  const paths = authorityHome(home);
  const { directory } = paths;
  const keys = keysFromDirectory(directory, {
    ...(passphrase && { passphrase }),
    ...(clearKeys && { clearKeys }),
  });
  const store = await openStore(paths);
  try {
    return { authority: await createAuthority({ ...rest, store, keys }), store, keys };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** The inventory where the folder says it is. */
async function openStore({ store: path, databaseUrl }: AuthorityHome): Promise<Store> {
  let url;
  try {
    url = await readBounded(databaseUrl, { maxBytes: 4_096 });
  } catch (error) {
    if (!(error instanceof FilesError) || error.code !== "FILE_NOT_FOUND") throw error;
    return openSqliteStore({ path, missing: "fail" });
  }
  const text = Buffer.from(url).toString("utf8").trim();
  return openPostgresStore({ url: text, missing: "fail" });
}

function pathsIn(directory: string): AuthorityHome {
  return {
    directory,
    store: join(directory, "authority.db"),
    databaseUrl: join(directory, "database-url"),
    bundle: join(directory, "handfast-ca.pem"),
    crls: join(directory, "crl"),
  };
}

async function build(
  workshop: string,
  options: Parameters<typeof initAuthorityHome>[1],
): Promise<EstablishedAuthority> {
  const { passphrase, databaseUrl, ...rest } = options;
  const paths = pathsIn(workshop);
  await createDirectory(workshop, { trustedDirectory: true });
  const keys = keysFromDirectory(workshop, passphrase === undefined ? {} : { passphrase });
  const store =
    databaseUrl === undefined
      ? openSqliteStore({ path: paths.store, missing: "create" })
      : await openPostgresStore({ url: databaseUrl, missing: "create" });
  try {
    if (databaseUrl !== undefined) {
      await writeFileAtomic(paths.databaseUrl, `${databaseUrl}\n`, { trustedDirectory: true });
    }
    const established = await establishAuthority({ ...rest, store, keys });
    await writeBundle(paths, { roots: [established.root] });
    const { clock } = rest;
    const authority = await createAuthority({ store, keys, ...(clock && { clock }) });
    for (const role of ["root", "issuing"] as const) {
      await writeCrls(paths, await authority.publishCrls({ role }));
    }
    return established;
  } finally {
    await store.close();
  }
}

/**
 * Puts the bundle where services can read it (`CA_FILE`): the roots and nothing else, in one step.
 *
 * @throws FilesError DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function writeBundle(
  { bundle }: Pick<AuthorityHome, "bundle">,
  { roots }: Pick<TrustBundle, "roots">,
): Promise<void> {
  await writeFileAtomic(bundle, certificatesToPem(roots), {
    mode: 0o644,
    overwrite: true,
    trustedDirectory: true,
  });
}

/**
 * Puts revocation lists where services can read them (`CRL_DIR`): each file whole, the older ones
 * replaced.
 *
 * @throws FilesError DIRECTORY_UNTRUSTED, FILE_WRITE_FAILED
 */
export async function writeCrls(
  { crls: directory }: Pick<AuthorityHome, "crls">,
  crls: readonly Pick<CrlRecord, "issuer" | "der">[],
): Promise<readonly string[]> {
  await createDirectory(directory, { trustedDirectory: true });
  const paths: string[] = [];
  for (const { issuer, der } of crls) {
    const path = join(directory, `${issuer}.crl`);
    const pem = encodePem("X509 CRL", der);
    await writeFileAtomic(path, pem, { mode: 0o644, overwrite: true, trustedDirectory: true });
    paths.push(path);
  }
  return paths;
}

/** A folder takes the place of nothing or of an empty folder; anything else refuses it. */
async function takePlace(
  workshop: string,
  { place, home }: { place: string; home: string },
): Promise<void> {
  try {
    await rename(workshop, place);
  } catch (error) {
    throw occupied(place, error);
  }
  const handle = await open(home, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The rename would refuse it too; this is so that nobody waits for keys in vain. */
async function refuseOccupied(place: string): Promise<void> {
  try {
    if ((await readdir(place)).length === 0) return;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw occupied(place, error);
  }
  throw occupied(place);
}

function occupied(place: string, cause?: unknown): CaError {
  return new CaError("AUTHORITY_EXISTS", `${place} is there already and is not overwritten`, {
    cause,
  });
}
