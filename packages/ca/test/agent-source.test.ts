import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { anyTrustedPeer, createMutualTls, noRevocation, serverName } from "@handfast/tls";
import type { MutualTls, Protocol, TlsEvent } from "@handfast/tls";
import { agentSource, authorityRenewer } from "../src/index.ts";
import type { AgentEvent, AgentSource } from "../src/index.ts";
import { refusal } from "./support/fixtures.ts";
import { onlineAuthority } from "./support/online.ts";
import type { OnlineAuthority } from "./support/online.ts";

const requester = "local:test";

interface Service {
  readonly source: AgentSource;
  readonly mtls: MutualTls;
  readonly events: AgentEvent[];
  /** Resolves when the runtime has put another source to use. */
  replaced(kind: "identity" | "trust"): Promise<void>;
}

/** A service that runs the agent itself: no file is written, none is read. */
async function service(
  context: TestContext,
  { online, name }: { online: OnlineAuthority; name: string },
): Promise<Service> {
  const token = await online.token(name, { validitySeconds: 3_600 });
  const events: AgentEvent[] = [];
  const source = await agentSource({
    renewer: authorityRenewer({ token: () => Promise.resolve(token) }),
    onEvent: (event) => events.push(event),
  });
  const said: TlsEvent[] = [];
  const waiting = new Set<() => void>();
  const mtls = await createMutualTls({
    identity: source.identity,
    trust: source.trust,
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
    onEvent(event) {
      said.push(event);
      for (const look of waiting) look();
    },
  });
  context.after(async () => {
    await mtls.close();
    await source.close();
  });
  return {
    source,
    mtls,
    events,
    async replaced(kind) {
      await new Promise<void>((resolve) => {
        const look = (): void => {
          const index = said.findIndex(
            (event) => event.type === "source-replaced" && event.source === kind,
          );
          if (index < 0) return;
          said.splice(index, 1);
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    },
  };
}

/** A call from one to the other; the fingerprints that each saw. */
async function call(client: Service, bank: Service): Promise<[string, string]> {
  let seen = "";
  const protocol: Protocol = {
    accept(socket, peer) {
      seen = peer?.certificate.fingerprint ?? "nobody";
      socket.end("hello");
      return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
    },
    refuse(socket, { code }) {
      seen = code;
      socket.end("no");
    },
  };
  const listener = await bank.mtls.listen(
    { host: "127.0.0.1", port: 0 },
    { h2: protocol, clientCertificates: "required" },
  );
  assert.ok("port" in listener.address);
  const { socket, peer } = await client.mtls.dial(
    { host: "127.0.0.1", port: listener.address.port },
    { expect: serverName("bank.test") },
  );
  await once(socket, "data");
  socket.destroy();
  await listener.close();
  return [seen, peer.certificate.fingerprint];
}

test("services without files enrol, renew and follow a root rotation, and no call between them fails", async (context) => {
  const changes = new EventEmitter();
  const online = await onlineAuthority(context, {
    onEvent: ({ type }) => void changes.emit(type),
  });
  const { authority } = online;
  /** A step of the rotation, of which the service then knows. */
  const step = async (work: Promise<unknown>): Promise<void> => {
    const known = once(changes, "bundle-changed");
    await Promise.all([work, known]);
  };
  const [bank, alice] = await Promise.all([
    service(context, { online, name: "bank.test" }),
    service(context, { online, name: "alice" }),
  ]);
  const renewBoth = () =>
    Promise.all(
      [bank, alice].map(async (one) => {
        await one.source.agent.renewNow();
        await one.replaced("identity");
      }),
    );
  const fingerprints = () =>
    [alice, bank].map(({ source }) => String(source.agent.certificates()[0]?.fingerprint));
  assert.deepEqual(await call(alice, bank), fingerprints());
  const first = fingerprints();
  await renewBoth();
  assert.notDeepEqual(fingerprints(), first);
  assert.deepEqual(await call(alice, bank), fingerprints());

  await step(authority.prepareRotation({ what: "root", requester }));
  await authority.publishCrls({ role: "root" });
  await authority.publishCrls({ role: "issuing" });
  await bank.source.agent.renewNow();
  await bank.replaced("trust");
  assert.deepEqual(await call(alice, bank), fingerprints(), "one knows of the new root");
  await alice.source.agent.renewNow();
  await alice.replaced("trust");
  await step(authority.activateRotation({ requester, spreadSeconds: 0 }));
  await renewBoth();
  assert.deepEqual(await call(alice, bank), fingerprints());
  await step(authority.retireRotation({ requester, endLiving: true }));
  await renewBoth();
  assert.deepEqual(await call(alice, bank), fingerprints());
  assert.deepEqual(
    [...bank.events, ...alice.events].filter(
      ({ type }) => type !== "renewed" && type !== "bundle-changed",
    ),
    [],
  );
});

test("an authority that goes away leaves the services as they are, and says so", async (context) => {
  const online = await onlineAuthority(context);
  const bank = await service(context, { online, name: "bank.test" });
  await online.service.shutdown({ graceMs: 0 });
  await bank.source.agent.renewNow();
  assert.equal(bank.events.at(-1)?.type, "renewal-failed");
  assert.equal(bank.source.agent.ready, true);
  const own = String(bank.source.agent.certificates()[0]?.fingerprint);
  assert.deepEqual(await call(bank, bank), [own, own]);
});

test("without a token that is good there is no source, and the token is not told", async (context) => {
  const online = await onlineAuthority(context);
  const token = await online.token("api");
  const broken = `${token.slice(0, -6)}AAAAAA`;
  await assert.rejects(
    agentSource({ renewer: authorityRenewer({ token: () => Promise.resolve(broken) }) }),
    (error: Error) => {
      assert.ok(refusal("AGENT_MISCONFIGURED", /there is no certificate and no bundle/)(error));
      assert.ok(!error.message.includes(broken.slice(0, 40)));
      return true;
    },
  );
  await assert.rejects(
    agentSource({ renewer: authorityRenewer({ target: online.service.authorityTarget }) }),
    refusal("AGENT_MISCONFIGURED", /no token to get one/),
  );
});
