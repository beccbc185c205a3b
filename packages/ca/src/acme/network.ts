import { Resolver } from "node:dns/promises";
import { connect } from "node:net";
import type { Socket } from "node:net";
import { networkInterfaces } from "node:os";

/** What the validator knows of the world; a test gives it another one. */
export interface AcmeNetwork {
  /** The A and AAAA records of a name, empty if it has none. It is asked once per hop. */
  addresses(name: string): Promise<readonly string[]>;
  /** The TXT records of a name, each in one piece, empty if it has none. */
  texts(name: string): Promise<readonly string[]>;
  /** Connects to an address that was judged. Rejects once the signal is aborted. */
  connect(to: { address: string; port: number; signal: AbortSignal }): Promise<Socket>;
  /** The addresses of this machine. */
  ownAddresses(): readonly string[];
}

/**
 * The network of this machine. Names are asked of DNS alone, never of the hosts file.
 *
 * `resolvers` are addresses, with a port if it is not 53; those of the system if there are none.
 */
export function systemNetwork({
  resolvers = [],
}: { readonly resolvers?: readonly string[] } = {}): AcmeNetwork {
  const resolver = new Resolver({ timeout: 3_000, tries: 2 });
  if (resolvers.length > 0) resolver.setServers(resolvers);
  return {
    async addresses(name): Promise<readonly string[]> {
      const answers = await Promise.all([
        found(resolver.resolve6(name)),
        found(resolver.resolve4(name)),
      ]);
      return answers.flat();
    },
    async texts(name): Promise<readonly string[]> {
      return (await found(resolver.resolveTxt(name))).map((pieces) => pieces.join(""));
    },
    async connect({ address, port, signal }): Promise<Socket> {
      signal.throwIfAborted();
      return new Promise((resolve, reject) => {
        const socket = connect({ host: address, port, signal });
        socket.once("connect", () => resolve(socket));
        socket.once("error", reject);
      });
    },
    ownAddresses(): readonly string[] {
      return Object.values(networkInterfaces()).flatMap((list) =>
        (list ?? []).map(({ address }) => address),
      );
    },
  };
}

/** A name without records of a type is an answer too. */
async function found<Answer>(asked: Promise<Answer[]>): Promise<Answer[]> {
  try {
    return await asked;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENODATA" || code === "ENOTFOUND") return [];
    throw error;
  }
}
