/**
 * A connect router that remembers the implementation of each unary method, for the short path.
 *
 * Promise: what is mounted works exactly as with connect's own router; a method that is not implemented stays on the
 * ordinary path, which answers for it.
 */
import type { DescMethod, DescMethodUnary, DescService, Message } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  createConnectRouter,
  type HandlerContext,
} from "@connectrpc/connect";
import type { UniversalHandler } from "@connectrpc/connect/protocol";

export interface UnaryMethod {
  readonly method: DescMethodUnary;
  /** `package.Service/Method` */
  readonly name: string;
  readonly call: (request: Message, context: HandlerContext) => object | Promise<object>;
}

export interface Recorded {
  readonly handlers: ReadonlyMap<string, UniversalHandler>;
  readonly unary: ReadonlyMap<string, UnaryMethod>;
}

export function recordRoutes(routes: (router: ConnectRouter) => void, options: ConnectRouterOptions): Recorded {
  const inner = createConnectRouter(options);
  const unary = new Map<string, UnaryMethod>();
  const record = (method: DescMethod, implementation: unknown) => {
    if (method.methodKind !== "unary" || typeof implementation !== "function") return;
    const name = `${method.parent.typeName}/${method.name}`;
    unary.set(`/${name}`, { method: method as DescMethodUnary, name, call: implementation as UnaryMethod["call"] });
  };
  const router: ConnectRouter = {
    handlers: inner.handlers,
    service: (service, implementation, own) => {
      inner.service(service, implementation, own);
      // a service with options of its own is not ours to shorten
      if (own === undefined) recordService(service, implementation, record);
      return router;
    },
    rpc: (method, implementation, own) => {
      inner.rpc(method, implementation, own);
      if (own === undefined) record(method, implementation);
      return router;
    },
  };
  routes(router);
  return { handlers: new Map(inner.handlers.map((handler) => [handler.requestPath, handler])), unary };
}

function recordService(
  service: DescService,
  implementation: object,
  record: (m: DescMethod, i: unknown) => void,
): void {
  for (const method of service.methods) {
    const own: unknown = (implementation as Record<string, unknown>)[method.localName];
    if (typeof own === "function") record(method, own.bind(implementation));
  }
}
