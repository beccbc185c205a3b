import { Client } from "@grpc/grpc-js";
import { grpcChannelCredentials } from "@handfast/grpc/grpc-js";
import { mutualTlsFromEnv, nobody } from "@handfast/tls";
import { orders } from "./orders.ts";

const transport = await mutualTlsFromEnv(process.env, { admit: nobody() });
if (transport.mode !== "mutual-tls") throw new Error("this client speaks mutual TLS only");
const { mtls, host, port } = transport;

const [method = "getOrder"] = process.argv.slice(2);
const { path, requestSerialize, responseDeserialize } =
  method === "cancelOrder" ? orders.cancelOrder : orders.getOrder;
const client = new Client(`${host}:${port}`, grpcChannelCredentials(mtls));
client.makeUnaryRequest(
  path,
  requestSerialize,
  responseDeserialize,
  { id: "17" },
  { deadline: Date.now() + 10_000 },
  (error, answer) => {
    console.log(error === null ? answer?.text : `error ${error.code}: ${error.details}`);
    client.close();
    void mtls.close();
  },
);
