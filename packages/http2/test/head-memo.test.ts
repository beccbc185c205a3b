import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeHeaderBlock } from "@handfast/http2";
import type { RequestHead } from "@handfast/http2";
import {
  BlockWriter,
  concat,
  eventsOf,
  headersFrame,
  hex,
  literalBlock,
  openRequest,
  requestFields,
  resetFrame,
  startClient,
  startServer,
} from "./wire.ts";
import type { Rig } from "./wire.ts";

const stateless = encodeHeaderBlock(requestFields).bytes;

test("S37: a block that did not touch the table is decoded once and shared, frozen", () => {
  const rig = startServer();
  const [first, second] = [requestOn(rig, 1, stateless), requestOn(rig, 3, stateless)];
  assert.equal(first, second);
  assert.ok(Object.isFrozen(first) && Object.isFrozen(first.fields));
  assert.deepEqual(first.fields, ["content-type", "application/grpc", "te", "trailers"]);
});

test("S37: nothing that was remembered is shared between connections", () => {
  const [one, other] = [startServer(), startServer()];
  requestOn(one, 1, stateless);
  assert.notEqual(requestOn(other, 1, stateless), requestOn(one, 3, stateless));
});

test("S37: a block that reads or writes the dynamic table is decoded each time", () => {
  const rig = startServer();
  const writer = new BlockWriter();
  const [writes, reads] = [writer.write(requestFields), writer.write(requestFields)];
  const heads = [writes, reads, reads].map((block, index) => requestOn(rig, index * 2 + 1, block));
  assert.equal(new Set(heads).size, 3);
  assert.deepEqual(heads[2], heads[0]);
});

test("S37: the same octets after a change of the table are another request", () => {
  const rig = startServer();
  const indexed = concat(literalBlock(requestFields), hex("be"));
  requestOn(rig, 1, concat(literalBlock(requestFields), hex("40 01 78 01 31")));
  assert.equal(requestOn(rig, 3, indexed).fields.at(-1), "1");
  requestOn(rig, 5, concat(literalBlock(requestFields), hex("40 01 78 01 32")));
  assert.equal(requestOn(rig, 7, indexed).fields.at(-1), "2");
});

test("S37: blocks that differ in any octet are told apart", () => {
  const rig = startServer();
  const block = literalBlock([...requestFields, "x-id", "aaaaaaaa"]);
  let id = 1;
  requestOn(rig, id, block);
  for (let at = 1; at <= 8; at += 1) {
    const changed = block.with(block.length - at, 0x62);
    const value = Array.from("aaaaaaaa")
      .with(8 - at, "b")
      .join("");
    assert.equal(requestOn(rig, (id += 2), changed).fields.at(-1), value);
    assert.equal(requestOn(rig, (id += 2), block).fields.at(-1), "aaaaaaaa");
  }
});

test("S37: what is trailers on one stream is no head on another", () => {
  const rig = startClient();
  for (const end of [true, true]) {
    openRequest(rig, { end });
  }
  const block = literalBlock(["grpc-status", "0"]);
  rig.send(headersFrame(1, [":status", "200"]), headersFrame(1, block, { end: true }));
  rig.send(headersFrame(3, block, { end: true }));
  assert.equal(eventsOf(rig.log, "trailers").length, 1);
  assert.match(eventsOf(rig.log, "reset")[0]?.reset.reason ?? "", /no :status/);
});

test("a malformed block stays malformed when it is repeated", () => {
  const rig = startServer();
  const block = literalBlock([...requestFields, "Upper", "case"]);
  for (let id = 1; id < 41; id += 2) {
    assert.equal(rig.send(headersFrame(id, block)).length, 1);
  }
  assert.equal(eventsOf(rig.log, "request").length, 0);
});

test("a block that never repeats does not push out one that does for long", () => {
  const rig = startServer();
  const repeated = literalBlock([...requestFields, "x-id", "aaaaaaaa"]);
  const first = requestOn(rig, 1, repeated);
  for (let id = 3; id < 33; id += 2) {
    requestOn(rig, id, literalBlock([...requestFields, "x-id", `${10_000_000 + id}`]));
  }
  assert.equal(requestOn(rig, 33, repeated), first);
});

/** Opens a stream with a block and returns the head that the application was given. */
function requestOn(rig: Rig<unknown>, id: number, block: Uint8Array): RequestHead {
  rig.send(headersFrame(id, block, { end: true }), resetFrame(id));
  rig.core.held.clear();
  return eventsOf(rig.log, "request").at(-1)?.head ?? assert.fail("no request came");
}
