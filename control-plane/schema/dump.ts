/**
 * The schema as PostgreSQL has it after all migrations, in a stable form: what stands in `schema.sql`, so that a review
 * sees what a migration makes of the whole. It is for reading; databases are made by the migrations alone.
 */
import type { Sql } from "@flyte-ts/platform/postgres";

interface Column {
  table: string;
  name: string;
  type: string;
  notNull: boolean;
  defaultsTo: string | null;
  identity: string;
  storage: string;
  comment: string | null;
}

interface Named {
  table: string;
  definition: string;
}

const HEAD = `-- The schema after all migrations. Written by control-plane/schema/check.ts --write; do not edit.
`;

/** Tables by name; columns as they lie, then constraints, settings and indexes by name. */
export async function dumpSchema(sql: Sql): Promise<string> {
  const [columns, constraints, indexes, settings, others] = [
    await readColumns(sql),
    await readConstraints(sql),
    await readIndexes(sql),
    await readSettings(sql),
    await readOthers(sql),
  ];
  const of = (rows: readonly Named[], table: string) => rows.filter((row) => row.table === table);
  const tables = [...new Set(columns.map(({ table }) => table))].map((table) => {
    const lines = [
      ...columns.filter((column) => column.table === table).map(columnLine),
      ...of(constraints, table).map(({ definition }) => `  ${definition}`),
    ];
    const [setting] = of(settings, table);
    const end = setting ? `) with (${setting.definition});` : ");";
    return [
      `create table ${table} (`,
      ...withCommas(lines),
      end,
      ...of(indexes, table).map(({ definition }) => `${definition};`),
    ].join("\n");
  });
  return `${[HEAD, ...tables.map((text) => `${text}\n`), ...others.map((text) => `${text}\n`)].join("\n")}`;
}

function columnLine({ name, type, notNull, defaultsTo, identity, storage, comment }: Column): string {
  const parts = [
    `  ${name} ${type}`,
    storage === "" ? "" : `storage ${storage}`,
    notNull ? "not null" : "",
    identity === "" ? "" : `generated ${identity} as identity`,
    defaultsTo === null ? "" : `default ${defaultsTo}`,
  ];
  const line = parts.filter((part) => part !== "").join(" ");
  return comment === null ? line : `${line} -- ${comment}`;
}

/** A comma after each line but the last one, before its comment. */
function withCommas(lines: readonly string[]): string[] {
  return lines.map((line, index) => {
    if (index === lines.length - 1) return line;
    const comment = line.indexOf(" -- ");
    return comment === -1 ? `${line},` : `${line.slice(0, comment)},${line.slice(comment)}`;
  });
}

/** The bookkeeping of the migrations is theirs. */
const ours = `c.relnamespace = current_schema()::regnamespace and c.relname <> 'schema_migrations'`;

async function readColumns(sql: Sql): Promise<Column[]> {
  const { rows } = await sql.query<Column>({
    text: `select c.relname as "table", a.attname as name, format_type(a.atttypid, a.atttypmod) as type,
        a.attnotnull as "notNull", pg_get_expr(d.adbin, d.adrelid) as "defaultsTo",
        case a.attidentity when 'a' then 'always' when 'd' then 'by default' else '' end as identity,
        case when a.attstorage = t.typstorage then '' when a.attstorage = 'e' then 'external'
          when a.attstorage = 'm' then 'main' when a.attstorage = 'p' then 'plain' else 'extended' end as storage,
        col_description(c.oid, a.attnum) as comment
      from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_type t on t.oid = a.atttypid
        left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
      where ${ours} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
      order by c.relname collate "C", a.attnum`,
  });
  return rows;
}

async function readConstraints(sql: Sql): Promise<Named[]> {
  const { rows } = await sql.query<Named>({
    text: `select c.relname as "table", 'constraint ' || k.conname || ' ' || pg_get_constraintdef(k.oid) as definition
      from pg_constraint k join pg_class c on c.oid = k.conrelid
      where ${ours} and k.contype <> 'n'
      order by c.relname collate "C", array_position(array['p', 'u', 'f', 'c', 'x'], k.contype::text), k.conname collate "C"`,
  });
  return rows;
}

/** Those that stand for a constraint are told by it. */
async function readIndexes(sql: Sql): Promise<Named[]> {
  const { rows } = await sql.query<Named>({
    text: `select c.relname as "table",
        replace(pg_get_indexdef(i.indexrelid), ' ON ' || current_schema() || '.', ' ON ') as definition
      from pg_index i join pg_class c on c.oid = i.indrelid join pg_class x on x.oid = i.indexrelid
      where ${ours} and not exists (select from pg_constraint k where k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))
      order by c.relname collate "C", x.relname collate "C"`,
  });
  return rows;
}

async function readSettings(sql: Sql): Promise<Named[]> {
  const { rows } = await sql.query<Named>({
    text: `select c.relname as "table",
        (select string_agg(o, ', ' order by o collate "C") from unnest(c.reloptions) o) as definition
      from pg_class c where ${ours} and c.relkind in ('r', 'p') and c.reloptions is not null`,
  });
  return rows;
}

/** Whatever else a migration may make, so that nothing is missing here without a word. */
async function readOthers(sql: Sql): Promise<string[]> {
  const { rows } = await sql.query<{ definition: string }>({
    text: `select definition from (
        select 'create view ' || c.relname || ' as ' || pg_get_viewdef(c.oid) as definition
          from pg_class c where ${ours} and c.relkind in ('v', 'm')
        union all
        select 'create sequence ' || c.relname || ';' from pg_class c where ${ours} and c.relkind = 'S'
          and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'i')
        union all
        select pg_get_functiondef(p.oid) || ';' from pg_proc p where p.pronamespace = current_schema()::regnamespace
          and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
        union all
        select pg_get_triggerdef(g.oid) || ';' from pg_trigger g join pg_class c on c.oid = g.tgrelid
          where ${ours} and not g.tgisinternal) s
      order by definition collate "C"`,
  });
  return rows.map(({ definition }) => definition);
}
