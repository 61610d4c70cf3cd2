/** What this room asks of a logger; pino's shape. Messages are constants, what varies goes into the fields. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export const silentLog: Log = { debug() {}, info() {}, warn() {} };
