import assert from "node:assert/strict";
import { test } from "node:test";
import { Metadata } from "../src/metadata.ts";

test("several values of one name are one comma-joined text, in order", () => {
  const metadata = new Metadata({ "X-Tag": "a" });
  metadata.append("x-tag", "b,c");
  assert.equal(metadata.get("x-TAG"), "a,b,c");
  assert.deepEqual(metadata.getAll("x-tag"), ["a", "b,c"]);
  assert.deepEqual(
    [...metadata],
    [
      ["x-tag", "a"],
      ["x-tag", "b,c"],
    ],
  );
  metadata.set("x-tag", "d");
  assert.equal(metadata.get("x-tag"), "d");
  metadata.delete("X-Tag");
  assert.equal(metadata.has("x-tag"), false);
  assert.equal(metadata.get("x-tag"), undefined);
});

test("a -bin name holds bytes and nothing else does", () => {
  const metadata = new Metadata({ "trace-bin": Uint8Array.of(0, 255) });
  metadata.appendBinary("trace-bin", Uint8Array.of(7));
  assert.deepEqual(metadata.getBinary("trace-bin"), Uint8Array.of(0, 255));
  assert.deepEqual(metadata.getAllBinary("trace-bin"), [Uint8Array.of(0, 255), Uint8Array.of(7)]);
  assert.throws(() => metadata.get("trace-bin"), TypeError);
  assert.throws(() => metadata.set("trace-bin", "x"), TypeError);
  assert.throws(() => metadata.setBinary("trace", Uint8Array.of(1)), TypeError);
});

test("names of the protocol cannot be set", () => {
  const metadata = new Metadata();
  for (const name of [
    ":path",
    "grpc-status",
    "Grpc-Timeout",
    "content-type",
    "te",
    "connection",
    "host",
  ]) {
    assert.throws(() => metadata.set(name, "x"), TypeError, name);
  }
  assert.throws(() => metadata.setBinary("grpc-status-details-bin", Uint8Array.of(1)), TypeError);
  for (const name of ["", "a b", "a\n", "naïve", "a:b"]) {
    assert.throws(() => metadata.set(name, "x"), TypeError, name);
  }
});

test("S39 a value with outer spaces or bytes outside 0x20 to 0x7e neither leaves nor arrives", () => {
  for (const value of [" a", "a ", "a\n", "a\0b", "\x7f", "é", "a\tb"]) {
    assert.throws(() => new Metadata({ name: value }), TypeError, JSON.stringify(value));
    assert.equal(Metadata.fromWire([["name", value]]), undefined, JSON.stringify(value));
  }
  assert.equal(Metadata.fromWire([["Name", "a"]]), undefined);
});

test("metadata that arrived keeps the protocol's own names", () => {
  const metadata = Metadata.fromWire([
    ["grpc-previous-rpc-attempts", "1"],
    ["x-bin", Uint8Array.of(1)],
  ]);
  assert.equal(metadata?.get("grpc-previous-rpc-attempts"), "1");
  assert.deepEqual(metadata.names(), ["grpc-previous-rpc-attempts", "x-bin"]);
});
