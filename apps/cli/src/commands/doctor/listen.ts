import {
  anyTrustedPeer,
  createMutualTls,
  crlFromDirectory,
  identityFromFiles,
  noRevocation,
  trustFromFile,
} from "@handfast/tls";
import type { TlsEvent } from "@handfast/tls";
import { greetClients } from "@handfast/tls/doctor";
import type { Context } from "../../context.ts";
import { UsageError } from "../../failure.ts";
import { parseTarget } from "../../target.ts";
import type { DoctorOptions, Side } from "../doctor.ts";

/** Serves with the files of this side, and tells of every client until it is interrupted. */
export async function listenAsServer(
  word: string,
  { side, options, context }: { side: Side; options: DoctorOptions; context: Context },
): Promise<void> {
  const { output } = context;
  const { certFile, keyFile, caFile, crlDirectory } = side;
  if (certFile === undefined || keyFile === undefined || caFile === undefined) {
    throw new UsageError(
      "a server needs a certificate, its key and a bundle",
      "name them with --cert, --key and --ca, or --as NAME",
    );
  }
  const ended = Promise.withResolvers<void>();
  let left = options.count ?? Number.POSITIVE_INFINITY;
  const mtls = await createMutualTls({
    identity: identityFromFiles({ certFile, keyFile }),
    trust: trustFromFile(caFile),
    revocation:
      crlDirectory === undefined
        ? noRevocation()
        : crlFromDirectory(crlDirectory, { undetermined: "refuse" }),
    admit: anyTrustedPeer(),
    onEvent(event) {
      if (event.type !== "handshake" && event.type !== "revocation-warning") return;
      if (options.json === true) output.jsonLine(eventJson(event));
      else for (const line of eventLines(event)) output.line(line);
      if (event.type === "handshake" && --left <= 0) ended.resolve();
    },
  });
  const stop = (): void => ended.resolve();
  process.once("SIGINT", stop);
  process.once("SIGTERM", stop);
  try {
    const { address } = await greetClients(mtls, parseTarget(word));
    if ("port" in address) {
      if (options.json === true) output.jsonLine({ listening: address });
      else output.line(`listening on ${address.host}:${address.port}`);
    }
    await ended.promise;
  } finally {
    process.off("SIGINT", stop);
    process.off("SIGTERM", stop);
    await mtls.close();
  }
}

type Told = TlsEvent & { type: "handshake" | "revocation-warning" };

function eventLines(event: Told): readonly string[] {
  if (event.type === "revocation-warning") return [`warning: ${event.reason}`];
  const { remoteAddress, refusal, peer } = event;
  if (refusal === undefined) {
    const { subject = "", tlsVersion = "" } = peer ?? {};
    return [`accepted ${remoteAddress}: ${peer?.identity ?? subject}, ${tlsVersion}`];
  }
  const who = refusal.by === "us" ? "refused" : "was refused by";
  return [`${who} ${remoteAddress}: ${refusal.code}: ${refusal.message}`, `hint: ${refusal.hint}`];
}

function eventJson(event: Told): object {
  if (event.type === "revocation-warning") return { warning: event.reason };
  const { remoteAddress, refusal, peer, durationMs } = event;
  return {
    remoteAddress,
    durationMs: Math.round(durationMs),
    identity: peer?.identity ?? null,
    refusal:
      refusal === undefined
        ? null
        : { code: refusal.code, by: refusal.by, message: refusal.message, hint: refusal.hint },
  };
}
