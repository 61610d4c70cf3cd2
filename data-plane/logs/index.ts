export {
  type LogBatch,
  type LogLine,
  LogNotFoundError,
  type LogStore,
  type LogStoreOptions,
  logStore,
} from "./log-store.ts";
