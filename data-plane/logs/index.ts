// What data proxies and plugins use, then what executors elsewhere write logs with.

export { lineCutter } from "./lines.ts";
export { type LogBatch, type LogLine, LogNotFoundError } from "./log-line.ts";
export { type LogReaders, logReaders } from "./log-readers.ts";
export { type LogStore, type LogStoreOptions, logStore, type TailRequest } from "./log-store.ts";
export { type LogWriter, type LogWriterOptions, logWriter } from "./log-writer.ts";
export { storedUri } from "./stored-log.ts";
