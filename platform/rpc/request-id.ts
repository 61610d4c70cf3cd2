/**
 * One id for each request, from the caller or made here, that ties a client's error text to our log lines.
 *
 * Promise: always printable ASCII of at most 128 characters, so it can be echoed and logged as it is.
 */
import { randomUUID } from "node:crypto";
import { type ContextValues, createContextKey } from "@connectrpc/connect";

export const requestIdHeader = "x-request-id";

/** Where handlers and interceptors find the id: `context.values.get(requestIdKey)`. */
export const requestIdKey = createContextKey("", { description: "request id" });

const acceptable = /^[\x21-\x7e]{1,128}$/;

/** The caller's id if we can echo it safely, else a new one. */
export function requestIdFrom(header: string | string[] | undefined): string {
  return typeof header === "string" && acceptable.test(header) ? header : randomUUID();
}

export function requestIdOf(context: { readonly values: ContextValues }): string {
  return context.values.get(requestIdKey);
}
