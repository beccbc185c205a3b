import { once } from "node:events";
import { connect, createSecureContext } from "node:tls";
import type { ConnectionOptions, TLSSocket } from "node:tls";

import type { TestIdentity } from "@handfast/x509/testing";

/** Where to connect, whom to trust. */
export interface Target {
  readonly port: number;
  readonly bundlePem: string;
}

/** Connects once as each of the identities, some at a time, and waits until the server has ended each. */
export async function shakeHands(
  target: Target,
  identities: readonly TestIdentity[],
  session?: Buffer,
): Promise<void> {
  const left = identities.values();
  const connectSome = async (): Promise<void> => {
    for (const identity of left) {
      const socket = connect({ ...optionsFor(target, identity), ...(session && { session }) });
      // Ends a connection to `openssl s_server -rev`; the others have ended it already.
      socket.on("error", () => {});
      socket.write("CLOSE\n");
      socket.resume();
      let resumed = false;
      socket.once("secureConnect", () => (resumed = socket.isSessionReused()));
      await new Promise((resolve) => socket.once("close", resolve));
      if (resumed !== (session !== undefined)) throw new Error(`resumed: ${resumed}`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, connectSome));
}

/** A session ticket of the server for this identity. */
export async function ticketFor(target: Target, identity: TestIdentity): Promise<Buffer> {
  const socket = connect(optionsFor(target, identity));
  socket.resume();
  const [ticket] = (await once(socket, "session")) as [Buffer];
  socket.destroy();
  return ticket;
}

/** Opens a session as each of the identities and keeps it. */
export async function openSessions(
  target: Target,
  identities: readonly TestIdentity[],
): Promise<TLSSocket[]> {
  const left = identities.values();
  const open: TLSSocket[] = [];
  const openSome = async (): Promise<void> => {
    for (const identity of left) {
      const socket = connect(optionsFor(target, identity));
      await once(socket, "data");
      open.push(socket);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, openSome));
  return open;
}

function optionsFor({ port, bundlePem }: Target, identity: TestIdentity): ConnectionOptions {
  let secureContext = contexts.get(identity);
  if (secureContext === undefined) {
    secureContext = createSecureContext({
      ca: [bundlePem],
      cert: identity.certificateChainPem,
      key: identity.privateKeyPem,
    });
    contexts.set(identity, secureContext);
  }
  return {
    host: "127.0.0.1",
    servername: "localhost",
    port,
    secureContext,
    ALPNProtocols: ["h2"],
  };
}

const contexts = new WeakMap<TestIdentity, ReturnType<typeof createSecureContext>>();
const AT_ONCE = 16;
