import { authorityHome, openAuthorityHome, writeBundle, writeCrls } from "@handfast/ca";
import type { Authority, IssuerRecord } from "@handfast/ca";
import type { KeyAlgorithm } from "@handfast/x509";
import { Option } from "commander";
import type { Command } from "commander";
import { keyAlgorithmOption, withHomeOptions, withPassphraseOption } from "../../common-options.ts";
import { homeOf } from "../../context.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { formatTime, parseDuration } from "../../duration.ts";
import { columns } from "../../output.ts";
import { passphraseForOpening } from "../../passphrase.ts";
import type { PassphraseOptions } from "../../passphrase.ts";
import { localRequester } from "../../requester.ts";

type RotateOptions = CommonOptions & PassphraseOptions;

interface PrepareOptions extends RotateOptions {
  readonly issuing?: true;
  readonly overlap?: number;
  readonly keyAlgorithm?: KeyAlgorithm;
}

interface ActivateOptions extends RotateOptions {
  readonly now?: true;
}

interface RetireOptions extends RotateOptions {
  readonly endLiving?: true;
  readonly withoutRootKey?: true;
}

/** `handfast ca rotate`: new keys for the authority, in three steps. */
export function caRotateCommand(group: Command, context: Context): void {
  const rotate = group
    .command("rotate")
    .description("replace the authority's keys: prepare, activate, retire");
  const prepare = rotate
    .command("prepare")
    .description("make the next keys and put their root into the bundle; needs the root's key")
    .option("--issuing", "the issuing key alone, under the same root")
    .addOption(
      new Option(
        "--overlap <duration>",
        "how long the old root vouches for the new issuing key (default: 180d)",
      ).argParser(parseDuration),
    )
    .addOption(keyAlgorithmOption("of the new keys (default: as the present ones)"))
    .action((options: PrepareOptions) =>
      step(options, context, async (authority) => {
        await authority.prepareRotation({
          what: options.issuing === true ? "issuing" : "root",
          requester: localRequester(),
          ...(options.overlap === undefined ? {} : { overlapSeconds: options.overlap }),
          ...(options.keyAlgorithm && { keyAlgorithm: options.keyAlgorithm }),
        });
        return [
          ...(await authority.publishCrls({ role: "root" })),
          ...(await authority.publishCrls({ role: "issuing" })),
        ];
      }),
    );
  const activate = rotate
    .command("activate")
    .description("issue with the new keys from now on")
    .option("--now", "though peers had less than a day to read the new bundle")
    .action((options: ActivateOptions) =>
      step(options, context, async (authority) => {
        await authority.activateRotation({
          requester: localRequester(),
          ...(options.now === true && { spreadSeconds: 0 }),
        });
        return [];
      }),
    );
  const retire = rotate
    .command("retire")
    .description("end the trust in the old keys; needs the old root's key")
    .option("--end-living", "though certificates of theirs are alive and were not renewed")
    .option("--without-root-key", "though the key of the old root is lost")
    .action((options: RetireOptions) =>
      step(options, context, async (authority) => {
        const { crls } = await authority.retireRotation({
          requester: localRequester(),
          endLiving: options.endLiving === true,
          withoutOldRootKey: options.withoutRootKey === true,
        });
        return crls;
      }),
    );
  const status = rotate
    .command("status")
    .description("where the rotation stands")
    .action((options: RotateOptions) => show(options, context));
  for (const command of [prepare, activate, retire]) {
    withPassphraseOption(withHomeOptions(command));
  }
  withHomeOptions(status);
}

/** One step; then the bundle and the lists go where services read them. */
async function step(
  options: RotateOptions,
  context: Context,
  work: (authority: Authority) => Promise<Parameters<typeof writeCrls>[1]>,
): Promise<void> {
  const home = homeOf(context, options);
  const authority = await openAuthorityHome(home, {
    passphrase: passphraseForOpening(context, options),
    clock: context.now,
  });
  try {
    const lists = await work(authority);
    await writeBundle(authorityHome(home), await authority.bundle());
    await writeCrls(authorityHome(home), lists);
    await report(authority, { options, context });
  } finally {
    await authority.close();
  }
}

async function show(options: RotateOptions, context: Context): Promise<void> {
  const authority = await openAuthorityHome(homeOf(context, options), { clock: context.now });
  try {
    await report(authority, { options, context });
  } finally {
    await authority.close();
  }
}

async function report(
  authority: Authority,
  { options, context: { output } }: { options: RotateOptions; context: Context },
): Promise<void> {
  const issuers = await authority.issuers();
  const { sequence } = await authority.bundle();
  const next = nextStep(issuers);
  if (options.json === true) {
    const keys = issuers.map(({ name, state, createdAt, certificate }) => ({
      name,
      state,
      since: formatTime(createdAt),
      certificate,
    }));
    output.json({ bundleSequence: sequence, next, keys });
    return;
  }
  for (const line of columns(issuers.map(({ name, state }) => [name, state] as const))) {
    output.line(line);
  }
  output.note(`next: \`handfast ca rotate ${next}\``);
}

function nextStep(issuers: readonly IssuerRecord[]): "prepare" | "activate" | "retire" {
  if (issuers.some(({ state }) => state === "prepared")) return "activate";
  return issuers.some(({ state }) => state === "retiring") ? "retire" : "prepare";
}
