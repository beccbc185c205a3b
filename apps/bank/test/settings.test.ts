import assert from "node:assert/strict";
import { test } from "node:test";
import { databasePlace, readSettings, UsageError } from "../src/settings.ts";

test("settings come from the environment, and a flag of the same name wins", () => {
  const env = { HOST: "127.0.0.1", CA_FILE: "ca.pem", UNRELATED: "x" };
  const { settings, extras, words, help } = readSettings(
    env,
    ["verify", "--ca-file", "other.pem", "--account=12345"],
    ["account"],
  );
  assert.deepEqual(words, ["verify"]);
  assert.deepEqual(settings, { HOST: "127.0.0.1", CA_FILE: "other.pem" });
  assert.deepEqual(extras, { account: "12345" });
  assert.equal(help, false);
  assert.equal(readSettings({}, ["--help"]).help, true);
});

test("S22: a setting that is given but empty stops the start, whichever it is", () => {
  for (const name of settingNames) {
    for (const value of ["", " ", "\t"]) {
      const expected = {
        code: "CONFIG_INVALID",
        message: `${name} is set but empty: expected a value`,
      };
      assert.throws(() => readSettings({ [name]: value }, []), expected);
      const flag = `--${name.toLowerCase().replaceAll("_", "-")}=${value}`;
      assert.throws(() => readSettings({ [name]: "given" }, [flag]), expected);
    }
  }
});

test("flags that do not exist or lack a value are wrong usage", () => {
  for (const args of [["--nothing"], ["--port"]]) {
    assert.throws(() => readSettings({}, args), UsageError);
  }
});

test("the database is a SQLite file or PostgreSQL, and a URL that is neither is never repeated", () => {
  assert.deepEqual(databasePlace({}), { kind: "sqlite", path: "bank.db" });
  const path = "/var/lib/bank.db";
  assert.deepEqual(databasePlace({ DATABASE_URL: `sqlite:${path}` }), { kind: "sqlite", path });
  const url = "postgres://bank:secret@host/db";
  assert.deepEqual(databasePlace({ DATABASE_URL: url }), { kind: "postgres", url });
  for (const wrong of [
    "mysql://bank:secret@host/db",
    "sqlite:",
    "bank.db",
    "postgres://:secret@",
  ]) {
    assert.throws(
      () => databasePlace({ DATABASE_URL: wrong }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, "CONFIG_INVALID");
        assert.doesNotMatch(error.message, /secret|host/);
        return true;
      },
    );
  }
});

const settingNames = [
  "HOST",
  "PORT",
  "TLS_ENABLED",
  "CA_FILE",
  "CERT_FILE",
  "KEY_FILE",
  "CRL_DIR",
  "POLICY_FILE",
  "DATABASE_URL",
  "AUDIT_FILE",
  "AUDIT_KEY_FILE",
  "RATE_LIMIT",
  "HEALTH_ADDRESS",
  "METRICS_ADDRESS",
];
