/** Work by key, as controllers do it: level-triggered, one key never twice at once, retried with backoff. */
export { type Again, type Reconciler, type ReconcilerOptions, reconciler } from "./reconciler.ts";
