-- One truth. Each table names its owning room; no room writes another's table.

-- project-service
create table projects (
  id text primary key,
  name text not null default '',
  description text not null default '',
  labels jsonb not null default '{}',
  state smallint not null default 0,
  -- flyteidl2.project.Project as received, so that fields we do not read survive.
  raw bytea not null default '',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

-- task-service
create table task_specs (
  digest bytea primary key,
  spec bytea not null
);
alter table task_specs alter column spec set storage external;

create table tasks (
  project text not null,
  domain text not null,
  name text not null,
  version text not null,
  spec_digest bytea not null references task_specs,
  short_name text not null default '',
  environment_name text not null default '',
  short_description text not null default '',
  is_entrypoint boolean not null default false,
  deployed_by text not null default '',
  created_at timestamptz not null default clock_timestamp(),
  primary key (project, domain, name, version)
);
create index tasks_by_time on tasks (project, domain, name, created_at desc, version desc);

-- settings-service
create table settings (
  scope_domain text not null default '',
  scope_project text not null default '',
  settings bytea not null,
  version bigint not null default 1,
  updated_at timestamptz not null default now(),
  primary key (scope_domain, scope_project)
);

-- run-service. A run's phase is its root action's; it is not repeated here.
create table runs (
  id bigint generated always as identity primary key,
  project text not null,
  domain text not null,
  name text not null,
  run_spec bytea not null,
  labels jsonb not null default '{}',
  source smallint not null default 0,
  created_by text not null default '',
  related_to text not null default '',
  relation_type smallint not null default 0,
  inputs_hash text not null default '',
  start_time timestamptz not null,
  created_at timestamptz not null default clock_timestamp(),
  unique (project, domain, name)
);
create index runs_by_time on runs (project, domain, created_at desc, id desc);
create index runs_everywhere on runs (created_at desc, id desc);
create index runs_by_label on runs using gin (labels jsonb_path_ops);

-- state-service: the one writer of phases.
create table actions (
  run_id bigint not null references runs on delete cascade,
  name text not null,
  parent text,
  kind smallint not null,             -- workflow.ActionType
  phase smallint not null,            -- common.ActionPhase
  version integer not null default 1, -- compare-and-set; grows with every change of the row
  attempts integer not null default 0,
  user_failures integer not null default 0,
  system_failures integer not null default 0,
  spec_digest bytea,                  -- task_specs, for task actions
  detail bytea not null default '',   -- workflow.TaskAction without spec, TraceAction or ConditionAction
  task_project text not null default '',
  task_domain text not null default '',
  task_name text not null default '',
  task_version text not null default '',
  task_type text not null default '',
  short_name text not null default '',
  environment_name text not null default '',
  group_name text not null default '',
  input_uri text not null default '',
  run_output_base text not null default '',
  output_uri text not null default '',
  error bytea,                        -- core.ExecutionError
  value bytea,                        -- core.Literal a condition was signalled with
  signalled_by text not null default '',
  cache_key text not null default '',
  cache_status smallint not null default 0,
  abort_reason text,
  aborted_by text not null default '',
  created_at timestamptz not null,
  started_at timestamptz,
  ended_at timestamptz,
  -- The writing transaction: readers on other replicas ask for all rows from the oldest transaction they could have missed.
  xid xid8 not null default pg_current_xact_id(),
  primary key (run_id, name)
) with (fillfactor = 80);
-- The parent comes first, so that this index is never mistaken for a way to find one action by (run_id, name): without
-- statistics, as in a new database, PostgreSQL takes both for equally good.
create index actions_by_parent on actions (parent, run_id, name);
create index actions_roots_by_task on actions (task_project, task_domain, task_name, run_id desc) where name = 'a0';

create table action_events (
  id bigint generated always as identity,
  run_id bigint not null,
  name text not null,
  report bytea not null,              -- flytets.cluster.v1.AttemptReport
  cluster text not null default '',
  primary key (run_id, name, id),
  foreign key (run_id) references runs on delete cascade
);

-- queue-service: one row for every live action, gone with its end.
create table queue_items (
  id bigint generated always as identity,
  run_id bigint not null,
  name text not null,
  parent text,
  -- How many of its cluster's slots the action takes while it works (0: core-sleep and the like).
  slots smallint not null,
  -- What the action asks of a cluster (route_classes); 0 for what needs none.
  route_class bigint not null,
  -- 0 pending, 1 leased, 2 ending (aborted or over, its cluster still cleans up), 3 held by the control plane (condition), 4 waits for a cache entry
  state smallint not null default 0,
  attempt integer not null default 1,
  epoch bigint not null default 0,
  cluster text,
  cache_key text,
  not_before timestamptz,
  due_at timestamptz,
  enqueued_at timestamptz not null default clock_timestamp(),
  leased_at timestamptz,
  primary key (run_id, name)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
create index queue_items_pending on queue_items (route_class, slots, id) where state = 0;
create index queue_items_cluster on queue_items (cluster) where state in (1, 2);
create index queue_items_parent on queue_items (parent, run_id);
create index queue_items_due on queue_items (due_at) where due_at is not null;
create index queue_items_cache on queue_items (cache_key) where cache_key is not null;

-- What actions ask of a cluster; actions that ask the same share a row. The id is a digest of the requirements.
create table route_classes (
  id bigint primary key,
  requirements jsonb not null,         -- core/routing.ts: Requirements
  created_at timestamptz not null default clock_timestamp()
);
create index route_classes_by_time on route_classes (created_at);

-- Places that run actions. Leases belong to them and outlive their executors.
create table clusters (
  name text primary key,
  uid text not null default '',        -- tells two clusters apart that were given one name
  kind text not null default '',
  version text not null default '',
  executor text not null default '',   -- who holds the session
  session bigint not null default 0,   -- grows with every executor that takes over; only the current one leases
  labels jsonb not null default '{}',
  task_types text[] not null default '{}',
  queues text[] not null default '{}',
  capacity jsonb not null default '{}',
  slots integer not null default 0,
  registered_at timestamptz not null default clock_timestamp(),
  last_heartbeat_at timestamptz not null default clock_timestamp(),
  lost_at timestamptz,                 -- its leases are given up
  drained_at timestamptz,              -- it is given no new ones
  drain_reason text not null default ''
) with (fillfactor = 50);

-- cache-service
create table cache_entries (
  key text primary key,
  output_uri text not null,
  source_run bigint not null,
  source_action text not null,
  source_attempt integer not null,
  created_at timestamptz not null default clock_timestamp()
);
