import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { GrpcError } from "@handfast/grpc";
import { BankService, TellerService } from "../gen/bank/v1/bank_pb.ts";
import { formatAmount } from "../money.ts";
import { describeFailure } from "../program.ts";
import { auditRecord } from "./audit.ts";
import { clientProgram, runProgram } from "./programs.ts";
import { shownLogLine } from "./world.ts";
import type { World } from "./world.ts";

/** A certificate of an authority that nobody here trusts: it reads "alice" all the same. */
export async function refuseStranger(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("Mallory has a certificate that says alice, from an authority of his own");
  await issueStrangersCertificate(world);
  narrator.show("$ bank-client --account 12345");
  const session = await runProgram(
    clientProgram,
    ["--account", "12345"],
    world.settingsOf("alice", { from: "stranger", to: "ours" }),
  );
  narrator.show(session.stdout + session.stderr);
  assert.equal(session.exitCode, 1, "mallory got in");
  assert.match(session.stderr, /the server refused us: CERTIFICATE_AUTHORITY_INVALID/);
  narrator.proven("mallory is refused, and his own program tells him why");
  await showRefusalInLog(world, "CERTIFICATE_AUTHORITY_INVALID");
}

/** No certificate at all. */
export async function refuseMissingCertificate(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("Somebody comes without a certificate");
  const client = await world.connect(BankService, undefined);
  const error = await failureOf(client.connect({ timeoutMs: 5000 }));
  narrator.show(describeFailure(error));
  assert.equal(error.refusal?.code, "NO_CLIENT_CERTIFICATE");
  narrator.proven("refused, and told what is missing");
  await showRefusalInLog(world, "NO_CLIENT_CERTIFICATE");
}

/** A client that is let in, and may not do everything. */
export async function denyKiosksDeposit(world: World): Promise<void> {
  const { narrator } = world;
  narrator.step("The kiosk in the lobby may show balances, and nothing else");
  const kiosk = await world.connect(TellerService, "kiosk");
  const name = { owner: "spiffe://handfast.internal/alice", accountId: "12345" };
  const { balance } = await kiosk.getBalance({ name });
  assert.equal(balance?.amount?.minorUnits, 75_000n);
  narrator.proven(`the kiosk reads alice's balance: ${formatAmount(balance.amount)} USD`);
  const amount = { minorUnits: 1n, currencyCode: "USD" };
  const deposit = kiosk.deposit({ requestId: randomUUID(), name, amount });
  const error = await failureOf(deposit);
  narrator.show(`Deposit: ${error.code}: ${error.message}`);
  assert.equal(error.code, "PERMISSION_DENIED");
  const logged = await world
    .bank()
    .logged(({ msg, code }) => msg === "call" && code === "PERMISSION_DENIED");
  narrator.say("the bank's log:");
  narrator.show(shownLogLine(logged));
  assert.equal(logged["identity"], "spiffe://handfast.internal/kiosk");
  assert.equal(logged["method"], "/bank.v1.TellerService/Deposit");
  narrator.say("the audit record:");
  narrator.show(
    await auditRecord(world, ({ authorized, full_method_name: method }) => {
      return authorized === false && method === "/bank.v1.TellerService/Deposit";
    }),
  );
  const after = await kiosk.getBalance({ name });
  assert.deepEqual(after.balance?.version, balance.version);
  narrator.proven("its deposit is denied by the policy, and nothing was written");
}

async function issueStrangersCertificate(world: World): Promise<void> {
  await world.handfast("stranger", ["init"]);
  await world.handfast("stranger", ["issue", "alice"]);
}

async function showRefusalInLog(world: World, code: string): Promise<void> {
  const { narrator } = world;
  const logged = await world
    .bank()
    .logged((line) => line["msg"] === "handshake refused" && line["code"] === code);
  narrator.say("the bank's log:");
  narrator.show(shownLogLine(logged));
  assert.equal(logged["by"], "us");
  narrator.proven("the bank knows whom it refused and why");
}

async function failureOf(call: Promise<unknown>): Promise<GrpcError> {
  try {
    await call;
  } catch (error) {
    if (error instanceof GrpcError) return error;
    throw error;
  }
  throw new Error("the call succeeded, it had to fail");
}
