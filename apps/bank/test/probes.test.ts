// The ports beside the bank's own: health for probes, metrics for whoever measures.
import assert from "node:assert/strict";
import { request } from "node:https";
import { test } from "node:test";
import { BankService } from "../src/gen/bank/v1/bank_pb.ts";
import { startBank } from "../src/server/start-bank.ts";
import { change } from "./support/fake-bank.ts";
import { addressIn, probe } from "./support/probe.ts";
import { authority, bankFiles, createKeptLog, serveBank } from "./support/served-bank.ts";
import type { Settings } from "../src/settings.ts";

const alice = authority.issue({ name: "alice" });

test("S42: probes without a certificate may ask for health, and for nothing else", async (t) => {
  const served = await serveBank(t, { HEALTH_ADDRESS: "127.0.0.1:0" });
  const address = addressIn(served, "health");
  for (const service of ["", "live", "bank.v1.BankService", "bank.v1.TellerService"]) {
    const answer = await probe(address, { path: "/grpc.health.v1.Health/Check", service });
    assert.deepEqual(answer, { status: 0, serving: true }, service);
  }
  const other = { path: "/grpc.health.v1.Health/Check", service: "bank.v1.Other" };
  assert.equal((await probe(address, other)).status, NOT_FOUND);
  for (const path of ["/grpc.health.v1.Health/Watch", "/bank.v1.BankService/GetBalance"]) {
    assert.equal((await probe(address, { path, service: "" })).status, UNIMPLEMENTED, path);
  }
});

test("S42: metrics are counted, and hold nobody's identity and no account", async (t) => {
  const served = await serveBank(t, { METRICS_ADDRESS: "127.0.0.1:0" });
  const client = await served.client(BankService, alice);
  await client.createAccount(change({ accountId: "12345", currencyCode: "USD" }));
  const answer = await fetch(`http://${addressIn(served, "metrics")}/metrics`);
  assert.equal(answer.status, 200);
  const text = await answer.text();
  assert.match(
    text,
    /grpc_server_call_started_total\{.*bank\.v1\.BankService\/CreateAccount.*\} 1/,
  );
  assert.match(text, /grpc_server_tls_handshakes_total\{/);
  assert.match(text, /handfast_tls_sessions\S* 1/);
  assert.doesNotMatch(text, /alice|12345|spiffe:/);
  const other = await fetch(`http://${addressIn(served, "metrics")}/`);
  assert.equal(other.status, 404);
});

test("S42: beyond loopback metrics are for those whom the bank admits", async (t) => {
  const served = await serveBank(t, { METRICS_ADDRESS: "0.0.0.0:0" });
  const port = Number(addressIn(served, "metrics").split(":").at(-1));
  const ask = (identity: { key: string; cert: string } | undefined): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const options = { host: "127.0.0.1", port, path: "/metrics", ca: authority.bundlePem };
      request({ ...options, ...identity, agent: false }, (response) => {
        response.resume();
        resolve(response.statusCode);
      })
        .once("error", reject)
        .end();
    });
  const { certificateChainPem: cert, privateKeyPem: key } = alice;
  assert.equal(await ask({ cert, key }), 200);
  assert.equal(await ask(undefined).catch(() => 403), 403);
});

test("an address that cannot be stops the start", async (t) => {
  const wrong = [
    { HEALTH_ADDRESS: "8081" },
    { HEALTH_ADDRESS: "localhost:99999" },
    { METRICS_ADDRESS: ":9464" },
    { METRICS_ADDRESS: "0.0.0.0:9464", TLS_ENABLED: "false" },
  ];
  for (const each of wrong) {
    const { CA_FILE = "", CERT_FILE = "", KEY_FILE = "", ...files } = bankFiles(t);
    const tls = "TLS_ENABLED" in each ? {} : { CA_FILE, CERT_FILE, KEY_FILE };
    const settings = { ...files, ...tls, ...each } as Settings;
    await assert.rejects(startBank({ settings, log: createKeptLog() }), { code: "CONFIG_INVALID" });
  }
});

const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;
