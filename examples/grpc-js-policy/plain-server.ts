import { Server, ServerCredentials } from "@grpc/grpc-js";
import { handlers, orders } from "./orders.ts";

const server = new Server();
server.addService(orders, handlers);
server.bindAsync("localhost:8443", ServerCredentials.createInsecure(), (error) => {
  if (error !== null) throw error;
  console.log("serving, in the clear");
});
