export * from "./cache-key.ts";
export * from "./store.ts";
