import { userInfo } from "node:os";

/** Who asks, for the authority's record: the user of this machine who runs the command. */
export function localRequester(): string {
  try {
    return `local:${userInfo().username}`;
  } catch {
    return `local:${process.getuid?.() ?? "unknown"}`; // a user without an account
  }
}
