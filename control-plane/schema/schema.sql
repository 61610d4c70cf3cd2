-- The schema after all migrations. Written by control-plane/schema/check.ts --write; do not edit.

create table action_events (
  id bigint not null generated always as identity,
  run_id bigint not null,
  name text not null,
  report bytea not null,
  cluster text not null default ''::text,
  constraint action_events_pkey PRIMARY KEY (run_id, name, id),
  constraint action_events_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
);

create table actions (
  run_id bigint not null,
  name text not null,
  parent text,
  kind smallint not null,
  phase smallint not null,
  version integer not null default 1,
  attempts integer not null default 0,
  user_failures integer not null default 0,
  system_failures integer not null default 0,
  spec_digest bytea,
  detail bytea not null default '\x'::bytea,
  task_project text not null default ''::text,
  task_domain text not null default ''::text,
  task_name text not null default ''::text,
  task_version text not null default ''::text,
  task_type text not null default ''::text,
  short_name text not null default ''::text,
  environment_name text not null default ''::text,
  group_name text not null default ''::text,
  input_uri text not null default ''::text,
  run_output_base text not null default ''::text,
  output_uri text not null default ''::text,
  error bytea,
  value bytea,
  signalled_by text not null default ''::text,
  cache_key text not null default ''::text,
  cache_status smallint not null default 0,
  abort_reason text,
  aborted_by text not null default ''::text,
  created_at timestamp with time zone not null,
  started_at timestamp with time zone,
  ended_at timestamp with time zone,
  xid xid8 not null default pg_current_xact_id(),
  constraint actions_pkey PRIMARY KEY (run_id, name),
  constraint actions_run_id_fkey FOREIGN KEY (run_id) REFERENCES runs(id) ON DELETE CASCADE
) with (fillfactor=80);
CREATE INDEX actions_by_parent ON actions USING btree (parent, run_id, name);
CREATE INDEX actions_roots_by_task ON actions USING btree (task_project, task_domain, task_name, run_id DESC) WHERE (name = 'a0'::text);

create table cache_entries (
  key text not null,
  output_uri text not null,
  source_run bigint not null,
  source_action text not null,
  source_attempt integer not null,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint cache_entries_pkey PRIMARY KEY (key)
);

create table clusters (
  name text not null,
  uid text not null default ''::text,
  kind text not null default ''::text,
  version text not null default ''::text,
  executor text not null default ''::text,
  session bigint not null default 0,
  labels jsonb not null default '{}'::jsonb,
  task_types text[] not null default '{}'::text[],
  queues text[] not null default '{}'::text[],
  capacity jsonb not null default '{}'::jsonb,
  slots integer not null default 0,
  registered_at timestamp with time zone not null default clock_timestamp(),
  last_heartbeat_at timestamp with time zone not null default clock_timestamp(),
  lost_at timestamp with time zone,
  drained_at timestamp with time zone,
  drain_reason text not null default ''::text,
  constraint clusters_pkey PRIMARY KEY (name)
) with (fillfactor=50);

create table projects (
  id text not null,
  name text not null default ''::text,
  description text not null default ''::text,
  labels jsonb not null default '{}'::jsonb,
  state smallint not null default 0,
  raw bytea not null default '\x'::bytea,
  created_at timestamp with time zone not null default now(),
  updated_at timestamp with time zone not null default now(),
  constraint projects_pkey PRIMARY KEY (id)
);

create table queue_items (
  id bigint not null generated always as identity,
  run_id bigint not null,
  name text not null,
  parent text,
  slots smallint not null,
  route_class bigint not null,
  state smallint not null default 0,
  attempt integer not null default 1,
  epoch bigint not null default 0,
  cluster text,
  cache_key text,
  not_before timestamp with time zone,
  due_at timestamp with time zone,
  enqueued_at timestamp with time zone not null default clock_timestamp(),
  leased_at timestamp with time zone,
  constraint queue_items_pkey PRIMARY KEY (run_id, name)
) with (autovacuum_vacuum_cost_delay=0, autovacuum_vacuum_scale_factor=0.0, autovacuum_vacuum_threshold=2000, fillfactor=70);
CREATE INDEX queue_items_cache ON queue_items USING btree (cache_key) WHERE (cache_key IS NOT NULL);
CREATE INDEX queue_items_cluster ON queue_items USING btree (cluster) WHERE (state = ANY (ARRAY[1, 2]));
CREATE INDEX queue_items_due ON queue_items USING btree (due_at) WHERE (due_at IS NOT NULL);
CREATE INDEX queue_items_parent ON queue_items USING btree (parent, run_id);
CREATE INDEX queue_items_pending ON queue_items USING btree (route_class, slots, id) WHERE (state = 0);

create table route_classes (
  id bigint not null,
  requirements jsonb not null,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint route_classes_pkey PRIMARY KEY (id)
);
CREATE INDEX route_classes_by_time ON route_classes USING btree (created_at);

create table runs (
  id bigint not null generated always as identity,
  project text not null,
  domain text not null,
  name text not null,
  run_spec bytea not null,
  labels jsonb not null default '{}'::jsonb,
  source smallint not null default 0,
  created_by text not null default ''::text,
  related_to text not null default ''::text,
  relation_type smallint not null default 0,
  inputs_hash text not null default ''::text,
  start_time timestamp with time zone not null,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint runs_pkey PRIMARY KEY (id),
  constraint runs_project_domain_name_key UNIQUE (project, domain, name)
);
CREATE INDEX runs_by_label ON runs USING gin (labels jsonb_path_ops);
CREATE INDEX runs_by_time ON runs USING btree (project, domain, created_at DESC, id DESC);
CREATE INDEX runs_everywhere ON runs USING btree (created_at DESC, id DESC);

create table settings (
  scope_domain text not null default ''::text,
  scope_project text not null default ''::text,
  settings bytea not null,
  version bigint not null default 1,
  updated_at timestamp with time zone not null default now(),
  constraint settings_pkey PRIMARY KEY (scope_domain, scope_project)
);

create table task_specs (
  digest bytea not null,
  spec bytea storage external not null,
  constraint task_specs_pkey PRIMARY KEY (digest)
);

create table tasks (
  project text not null,
  domain text not null,
  name text not null,
  version text not null,
  spec_digest bytea not null,
  short_name text not null default ''::text,
  environment_name text not null default ''::text,
  short_description text not null default ''::text,
  is_entrypoint boolean not null default false,
  deployed_by text not null default ''::text,
  created_at timestamp with time zone not null default clock_timestamp(),
  constraint tasks_pkey PRIMARY KEY (project, domain, name, version),
  constraint tasks_spec_digest_fkey FOREIGN KEY (spec_digest) REFERENCES task_specs(digest)
);
CREATE INDEX tasks_by_time ON tasks USING btree (project, domain, name, created_at DESC, version DESC);
