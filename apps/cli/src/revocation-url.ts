import { InvalidArgumentError, Option } from "commander";
import type { Context } from "./context.ts";
import { UsageError } from "./failure.ts";

/** `--revocation-url`: what certificates say about where their revocation is published. */
export function revocationUrlOption(): Option {
  return new Option(
    "--revocation-url <url>",
    "certificates name the list and the OCSP responder below http://HOST:PORT ($HANDFAST_REVOCATION_URL)",
  ).argParser(parseUrl);
}

/** The URL of an option, else of HANDFAST_REVOCATION_URL; none if neither is given. */
export function revocationUrlOf(
  { env }: Context,
  { revocationUrl }: { readonly revocationUrl?: string },
): { readonly revocationUrl?: string } {
  if (revocationUrl !== undefined) return { revocationUrl };
  const given = env["HANDFAST_REVOCATION_URL"];
  if (given === undefined) return {};
  try {
    return { revocationUrl: parseUrl(given) };
  } catch {
    throw new UsageError(
      `HANDFAST_REVOCATION_URL is ${JSON.stringify(given)}`,
      "it must be http://HOST:PORT, or unset",
    );
  }
}

/** Plain HTTP: whoever checks a certificate could not verify https without checking another. */
function parseUrl(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === "http:" && url.search === "" && url.username === "") return url.href;
  throw new InvalidArgumentError("It must be http://HOST:PORT.");
}
