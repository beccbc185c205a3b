import { parentPort, workerData } from "node:worker_threads";
import { BankError } from "../errors.ts";
import type { Executed, Failure } from "./group-commit.ts";
import { executeCommand, findAccount, listEntries } from "./procedures.ts";
import { openSqliteReader, openSqliteWriter, sqliteFailure } from "./sqlite-database.ts";
import type { SqliteConnection, SqliteWriterOptions } from "./sqlite-database.ts";
import type { Command, EntryRange } from "./store.ts";
import { verifyLedger } from "./verify-ledger.ts";
import type { AccountName } from "../account-name.ts";

/** What a worker is started as. */
export type WorkerRole =
  | {
      readonly role: "writer";
      readonly options: SqliteWriterOptions;
      readonly failPoint?: FailPoint;
    }
  | { readonly role: "reader"; readonly path: string };

/** Where the whole process is to die by SIGKILL; only tests of recovery ask for it. */
export interface FailPoint {
  readonly at: "before-begin" | "before-commit" | "after-commit";
  /** In which batch of commands, counted from 1. */
  readonly batch: number;
}

/** What a worker is asked. The reply carries the same id. */
export type WorkerRequest = { readonly id: number } & (
  | { readonly ask: "execute"; readonly commands: readonly Command[] }
  | { readonly ask: "account"; readonly name: AccountName }
  | { readonly ask: "entries"; readonly name: AccountName; readonly range: EntryRange }
  | { readonly ask: "verify" }
  | { readonly ask: "close" }
);

/** What a worker answers; id 0 says that it is open, or why not. */
export interface WorkerReply {
  readonly id: number;
  readonly failure?: Failure;
  readonly value?: unknown;
}

const port = parentPort;
const role = workerData as WorkerRole;

if (port !== null) {
  try {
    const connection =
      role.role === "writer" ? openSqliteWriter(role.options) : openSqliteReader(role.path);
    const answer = answerer(connection);
    port.on("message", (request: WorkerRequest) => {
      port.postMessage(reply(request.id, () => answer(request)));
      if (request.ask === "close") port.close();
    });
    port.postMessage({ id: 0 } satisfies WorkerReply);
  } catch (error) {
    port.postMessage({ id: 0, failure: failureOf(error) } satisfies WorkerReply);
  }
}

function reply(id: number, work: () => unknown): WorkerReply {
  try {
    return { id, value: work() };
  } catch (error) {
    return { id, failure: failureOf(error) };
  }
}

function answerer(connection: SqliteConnection): (request: WorkerRequest) => unknown {
  const execute = batchExecutor(connection);
  return (request) => {
    switch (request.ask) {
      case "execute":
        return execute(request.commands);
      case "account":
        return connection.run(findAccount(request.name));
      case "entries":
        return connection.run(listEntries(request.name, request.range));
      case "verify":
        return inSnapshot(connection, () => connection.run(verifyLedger()));
      case "close":
        connection.close();
        return undefined;
    }
  };
}

/**
 * Group commit: one transaction for all commands of a batch, a savepoint for each, so that one that
 * fails takes no other with it. After a broken invariant nothing is written any more.
 */
function batchExecutor(
  connection: SqliteConnection,
): (commands: readonly Command[]) => readonly Executed[] {
  const { database } = connection;
  let batch = 0;
  let broken: Failure | undefined;
  return (commands) => {
    if (broken !== undefined) return commands.map(() => ({ failure: broken as Failure }));
    batch += 1;
    dieAt("before-begin", batch);
    try {
      database.exec("BEGIN IMMEDIATE");
      const executed = commands.map((command) => executeInSavepoint(connection, command));
      dieAt("before-commit", batch);
      database.exec("COMMIT");
      dieAt("after-commit", batch);
      return executed;
    } catch (error) {
      if (database.isTransaction) database.exec("ROLLBACK");
      const failure = failureOf(error);
      if (failure.code === "LEDGER_BROKEN") broken = failure;
      return commands.map(() => ({ failure }));
    }
  };
}

function executeInSavepoint(connection: SqliteConnection, command: Command): Executed {
  const { database } = connection;
  database.exec("SAVEPOINT command");
  try {
    const outcome = connection.run(executeCommand(command));
    database.exec("RELEASE command");
    return { outcome };
  } catch (error) {
    const failure = failureOf(error);
    // Some failures end the whole transaction by themselves; a broken ledger must.
    if (failure.code === "LEDGER_BROKEN" || !database.isTransaction) throw error;
    database.exec("ROLLBACK TO command; RELEASE command");
    return { failure };
  }
}

function inSnapshot<T>(connection: SqliteConnection, work: () => T): T {
  connection.database.exec("BEGIN");
  try {
    return work();
  } finally {
    connection.database.exec("COMMIT");
  }
}

function failureOf(error: unknown): Failure {
  const { code, message } = error instanceof BankError ? error : sqliteFailure(error);
  return { code, message };
}

function dieAt(at: FailPoint["at"], batch: number): void {
  const failPoint = role.role === "writer" ? role.failPoint : undefined;
  if (failPoint?.at === at && failPoint.batch === batch) process.kill(process.pid, "SIGKILL");
}
