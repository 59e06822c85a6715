create table if not exists jobs (
    id bigint generated always as identity primary key,
    payload text not null,
    due timestamptz not null,
    attempts int not null default 0,
    -- Of the attempt that has worked.
    started timestamptz,
    done timestamptz,
    worker text
);
create index if not exists jobs_due on jobs (due) where done is null;
-- Tells the workers that the next job may be due earlier than they know.
create or replace function jobs_changed() returns trigger language plpgsql as $$
begin
    perform pg_notify('jobs', tg_table_schema);
    return null;
end $$;
create or replace trigger jobs_changed after insert or update of due on jobs
    for each statement execute function jobs_changed();
