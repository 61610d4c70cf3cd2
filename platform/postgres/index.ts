/** PostgreSQL for the control plane: pool and transactions, notifications, migrations, and the embedded server. */
export type { Database, DatabaseOptions, Sql, Statement, Subscription } from "./database.ts";
export { openDatabase } from "./database.ts";
export { EmbeddedPostgresError } from "./embedded/embedded-postgres-error.ts";
export type { EmbeddedPostgres, EmbeddedPostgresOptions } from "./embedded/start-embedded-postgres.ts";
export { startEmbeddedPostgres } from "./embedded/start-embedded-postgres.ts";
export {
  DatabaseUnavailableError,
  isSerializationFailure,
  isUniqueViolation,
  redact,
  TransactionRolledBackError,
} from "./errors.ts";
export { MigrationMismatchError, migrate, NewerSchemaError, UnsupportedServerError } from "./migrate.ts";
