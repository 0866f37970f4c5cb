import type { ClientBase } from 'pg'

/** Bytes in one row of `kvar_parts`: large enough for few round trips, small enough for any pooler. */
export const PART_BYTES = 1024 * 1024

/** The two tables, quoted and with their schema: nothing depends on a search path, which poolers share. */
export interface PostgresTables {
  objects: string
  parts: string
}

/** @param schema a checked name (`readPostgresSettings`) */
export function tablesIn(schema: string): PostgresTables {
  return { objects: `"${schema}"."kvar_objects"`, parts: `"${schema}"."kvar_parts"` }
}

/**
 * Makes the tables on first use. All of it is one statement and so one transaction, alone by a lock
 * that ends with it: two keepers at once make them once, and a pooler sees nothing that lasts.
 *
 * Row level security without any policy, and no grants, keep everybody out but the owner; Supabase
 * gives its public roles rights on new tables of some schemas, which are taken back.
 *
 * Under the lock the catalogue is read with queries: `to_regclass` may still answer from a cache of
 * before the lock, and then the second of two would make the tables again.
 */
export async function ensureTables(client: ClientBase, schema: string): Promise<void> {
  const { rows } = await client.query('select to_regclass($1) is not null as "isThere"', [
    tablesIn(schema).parts,
  ])
  if (rows[0]?.isThere !== true) await client.query(makeTables(schema))
}

function makeTables(schema: string): string {
  const { objects, parts } = tablesIn(schema)
  return `do $kvar$
declare stranger text;
begin
  perform pg_advisory_xact_lock(hashtextextended('kvar tables in ${schema}', 0));
  if exists (select from pg_tables where schemaname = '${schema}' and tablename = 'kvar_parts') then return; end if;
  if not exists (select from pg_namespace where nspname = '${schema}') then
    create schema "${schema}";
    revoke all on schema "${schema}" from public;
  end if;
  create table ${objects} (
    id uuid primary key,
    prefix text collate "C" not null,
    key text collate "C",
    size_bytes bigint not null,
    modified_at timestamptz not null,
    unique (prefix, key)
  );
  create table ${parts} (
    object_id uuid not null references ${objects} on delete cascade deferrable initially deferred,
    number integer not null,
    bytes bytea not null,
    primary key (object_id, number)
  );
  alter table ${parts} alter column bytes set storage external;
  comment on table ${objects} is 'Version logs kept by Kvar. Change nothing here by hand. Without a key: replaced, goes an hour later.';
  comment on table ${parts} is 'The bytes of kvar_objects, ${PART_BYTES} in each row but the last.';
  alter table ${objects} enable row level security;
  alter table ${parts} enable row level security;
  revoke all on ${objects}, ${parts} from public;
  foreach stranger in array array['anon', 'authenticated'] loop
    if exists (select from pg_roles where rolname = stranger) then
      execute format('revoke all on ${objects}, ${parts} from %I', stranger);
    end if;
  end loop;
end $kvar$`
}
