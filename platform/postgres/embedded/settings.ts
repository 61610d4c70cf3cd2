/**
 * The embedded server's settings, given on its command line so that they always are this program's: durable, small
 * (some 130 MB), and with an eager autovacuum, because queue tables turn over fast.
 */

export interface SettingsInput {
  readonly socketDir: string;
  readonly port: number;
  /** Listen on 127.0.0.1 as well, with the same password. */
  readonly tcp: boolean;
  /** False only for the tests' throw-away server. */
  readonly durable: boolean;
  readonly maxConnections: number;
}

export function serverSettings(input: SettingsInput): Record<string, string> {
  const flag = input.durable ? "on" : "off";
  return {
    listen_addresses: input.tcp ? "127.0.0.1" : "",
    port: String(input.port),
    unix_socket_directories: input.socketDir,
    unix_socket_permissions: "0700",
    max_connections: String(input.maxConnections),
    password_encryption: "scram-sha-256",

    fsync: flag,
    synchronous_commit: flag,
    full_page_writes: flag,

    shared_buffers: "128MB",
    work_mem: "8MB",
    maintenance_work_mem: "64MB",
    effective_cache_size: "512MB",
    random_page_cost: "1.1",
    jit: "off",
    max_parallel_workers_per_gather: "0",
    // Saves the processes that asynchronous reads and replication would keep around.
    io_method: "sync",
    max_logical_replication_workers: "0",
    max_wal_senders: "0",

    wal_level: "minimal",
    wal_buffers: "16MB",
    min_wal_size: "128MB",
    max_wal_size: "1GB",
    checkpoint_timeout: "10min",

    autovacuum_max_workers: "2",
    autovacuum_naptime: "10s",
    autovacuum_vacuum_scale_factor: "0.05",
    autovacuum_analyze_scale_factor: "0.05",
    autovacuum_vacuum_insert_scale_factor: "0.2",
    autovacuum_vacuum_cost_limit: "2000",

    log_destination: "stderr",
    logging_collector: "off",
    log_line_prefix: "%m [%p] %q%u@%d ",
    log_checkpoints: "off",
    log_autovacuum_min_duration: "10s",
    log_min_duration_statement: "2s",
    // Statement parameters may hold users' data.
    log_parameter_max_length: "0",
    log_parameter_max_length_on_error: "0",
    timezone: "UTC",
    log_timezone: "UTC",
  };
}

/** `-c name=value` for each. */
export function asArguments(settings: Record<string, string>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}
