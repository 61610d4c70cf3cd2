/**
 * Connect interceptors on the short path: the same request and response objects as connect makes, built lazily.
 */
import { create, type DescMethodUnary, isMessage, type Message } from "@bufbuild/protobuf";
import type { Interceptor, UnaryRequest, UnaryResponse } from "@connectrpc/connect";
import type { UnaryMethod } from "./recorded-router.ts";
import type { UnaryContext } from "./unary-context.ts";
import type { Validate } from "./validation.ts";

/** Calls the implementation through the interceptors (given innermost first); validation is the innermost of all. */
export async function throughInterceptors(
  unary: UnaryMethod,
  message: Message,
  context: UnaryContext,
  reversed: readonly Interceptor[],
  validate: Validate,
): Promise<object> {
  // own enumerable getters: an interceptor may spread the request, and pays for what it copies only then
  const request: UnaryRequest = {
    stream: false,
    message,
    method: unary.method,
    service: unary.method.parent,
    requestMethod: context.requestMethod,
    get url() {
      return context.url;
    },
    get signal() {
      return context.signal;
    },
    get header() {
      return context.requestHeader;
    },
    get contextValues() {
      return context.values;
    },
  };
  type Next = ReturnType<Interceptor>;
  const innermost: Next = async (req) => {
    const changed = req as UnaryRequest;
    validate(unary.method.input, changed.message);
    const { signal, header: requestHeader, contextValues: values } = changed;
    const seen = changed === request ? context : { ...callConstants(context), signal, requestHeader, values };
    const output = await unary.call(changed.message, seen);
    return {
      stream: false,
      message: messageOf(unary.method, output),
      method: unary.method,
      service: unary.method.parent,
      header: context.responseHeader,
      trailer: context.responseTrailer,
    } satisfies UnaryResponse;
  };
  const response = await reversed.reduce((next, interceptor) => interceptor(next), innermost)(request);
  if (response.header !== context.responseHeader) copy(response.header, context.responseHeader);
  if (response.trailer !== context.responseTrailer) copy(response.trailer, context.responseTrailer);
  return (response as UnaryResponse).message;
}

function callConstants(context: UnaryContext) {
  const { method, service, timeoutMs, requestMethod, responseHeader, responseTrailer, protocolName, url } = context;
  return { method, service, timeoutMs, requestMethod, responseHeader, responseTrailer, protocolName, url };
}

function copy(from: Headers, to: Headers): void {
  for (const key of [...to.keys()]) to.delete(key);
  from.forEach((value, key) => {
    to.set(key, value);
  });
}

/** Handlers may return a plain object in place of a message. */
export function messageOf(method: DescMethodUnary, output: object): Message {
  return isMessage(output, method.output) ? output : create(method.output, output as Record<string, unknown>);
}
