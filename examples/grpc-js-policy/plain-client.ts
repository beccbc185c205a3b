import { Client, credentials } from "@grpc/grpc-js";
import { orders } from "./orders.ts";

const [method = "getOrder"] = process.argv.slice(2);
const { path, requestSerialize, responseDeserialize } =
  method === "cancelOrder" ? orders.cancelOrder : orders.getOrder;
const client = new Client("localhost:8443", credentials.createInsecure());
client.makeUnaryRequest(
  path,
  requestSerialize,
  responseDeserialize,
  { id: "17" },
  { deadline: Date.now() + 10_000 },
  (error, answer) => {
    console.log(error === null ? answer?.text : `error ${error.code}: ${error.details}`);
    client.close();
  },
);
