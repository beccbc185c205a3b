// A service as it was before anybody thought of TLS: two methods, and callers without a name.
import type { MethodDefinition, sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";

interface Request {
  readonly id: string;
}
interface Reply {
  readonly text: string;
}
type Method = MethodDefinition<Request, Reply>;

export const orders: Readonly<Record<"getOrder" | "cancelOrder", Method>> = {
  getOrder: unary("/shop.v1.Orders/GetOrder"),
  cancelOrder: unary("/shop.v1.Orders/CancelOrder"),
};

export const handlers = {
  getOrder(call: ServerUnaryCall<Request, Reply>, answer: sendUnaryData<Reply>): void {
    answer(null, { text: `order ${call.request.id} is on its way` });
  },
  cancelOrder(call: ServerUnaryCall<Request, Reply>, answer: sendUnaryData<Reply>): void {
    answer(null, { text: `order ${call.request.id} is cancelled` });
  },
};

function unary(path: string): Method {
  return {
    path,
    requestStream: false,
    responseStream: false,
    requestSerialize: (request) => Buffer.from(JSON.stringify(request)),
    requestDeserialize: (bytes) => JSON.parse(bytes.toString()) as Request,
    responseSerialize: (reply) => Buffer.from(JSON.stringify(reply)),
    responseDeserialize: (bytes) => JSON.parse(bytes.toString()) as Reply,
  };
}
