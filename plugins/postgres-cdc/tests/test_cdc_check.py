"""`check`, `sample` and what they say; nothing is changed by them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cdc_harness import Harness, plain, rows_of

from etl_core import ConfigError, Problem, Stream
from etl_pglib.embedded import EmbeddedPostgres
from etl_pglib.testing import Database

Make = Callable[..., Harness]


def problems(harness: Harness) -> tuple[Problem, ...]:
    try:
        harness.source.check(harness.context())
    except ConfigError as error:
        return error.problems
    return ()


def as_role(pg: Database, role: str) -> str:
    return pg.dsn.replace("postgres@", f"{role}@").replace("postgres:", f"{role}:")


@pytest.fixture
def role(pg: Database) -> str:
    name = f"role_{pg.name}"
    pg.execute(f"create role {name} login")
    return name


def test_a_ready_database_has_no_problems(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)")
    before = pg.query("select count(*) from pg_publication, pg_replication_slots")
    assert problems(cdc()) == ()
    assert problems(cdc(snapshot="only")) == ()
    assert pg.query("select count(*) from pg_publication, pg_replication_slots") == before


def test_all_problems_come_at_once(pg: Database, role: str) -> None:
    pg.execute(
        "create table t (id int)",
        "create table secret (id int primary key)",
        "alter table secret enable row level security",
        f"grant select on secret to {role}",
        "create schema hidden",
        "create table hidden.h (id int primary key)",
    )
    source = Harness(as_role(pg, role), ["public.*", "hidden.h", "elsewhere.x", "public.secrets"])
    found = {problem.message: problem.hint for problem in problems(source)}
    text = "\n".join(f"{message} -> {hint}" for message, hint in found.items())
    for expected in (
        "elsewhere.x matches no table of the database -> write namespace.name",
        "public.secrets matches no table of the database -> did you mean public.secret",
        "public.t has no key to replicate by",
        'ALTER TABLE "public"."t" REPLICA IDENTITY FULL',
        f'public.t cannot be read -> GRANT SELECT ON "public"."t" TO "{role}"',
        "public.secret has row security",
        'GRANT USAGE ON SCHEMA "hidden"',
        f"the role {role} cannot create publication",
        "CREATE PUBLICATION",
        "cannot start replication",
        f'ALTER ROLE "{role}" REPLICATION',
    ):
        assert expected in text, text


def test_what_the_servers_settings_lack_is_told(pg_private: Callable[..., EmbeddedPostgres]) -> None:
    server = pg_private(settings={"wal_level": "replica", "max_replication_slots": "1"})
    database = Database("postgres", server.dsn, server)
    database.execute("create table t (id int primary key)")
    source = Harness(server.dsn, ["public.t"])
    text = "\n".join(f"{problem.message} {problem.hint}" for problem in problems(source))
    assert "wal_level is replica, not logical ALTER SYSTEM SET wal_level = 'logical'" in text
    assert "1 replication slots are free, 2 are needed" in text
    with pytest.raises(Exception, match=r"refused|configuration|limit") as error:
        source.start().next()
    assert "wal_level" in str(error.value)
    source.close()


def test_an_existing_publication_is_looked_at(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int primary key)", "create table u (id int primary key)")
    pg.execute("create publication part for table t with (publish = 'insert')")
    pg.query("select pg_create_physical_replication_slot('check_slot')")
    text = "\n".join(p.message for p in problems(cdc("public.u", publication="part", slot="check_slot")))
    assert "public.u matches no table of the publication" in text
    assert "publication part leaves out kinds of changes" in text
    assert "slot check_slot is not one of pgoutput for this database" in text
    pg.query("select pg_drop_replication_slot('check_slot')")
    text = "\n".join(p.message for p in problems(cdc("public.u", publication="none", snapshot="only")))
    assert "publication none does not exist" in text


def test_a_table_without_identity_is_not_published(pg: Database, cdc: Make) -> None:
    pg.execute("create table t (id int)", "insert into t values (1)")
    with pytest.raises(ConfigError, match="cannot be published"):
        cdc().start().next()
    pg.execute("update t set id = 2")
    pg.execute("alter table t replica identity full")
    source = cdc("public.*", refresh=0.05)
    source.once()
    pg.execute("create table u (id int)", "insert into u values (1)")
    source.once(source.position)
    pg.execute("update u set id = 2")


def test_a_tables_identity_does_not_reach_its_partitions(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int) partition by list (id)",
        "create table t1 partition of t for values in (1)",
        "alter table t replica identity full",
    )
    source = cdc("public.t")
    (problem,) = problems(source)
    assert "public.t has no key to replicate by" in problem.message
    assert 'ALTER TABLE "public"."t1" REPLICA IDENTITY FULL' in str(problem.hint)
    with pytest.raises(ConfigError, match="cannot be published"):
        source.once()
    pg.execute("alter table t1 replica identity full")
    source.once()
    pg.execute("insert into t values (1)", "delete from t")
    assert [row[0] for row in plain(rows_of(source.once(source.position)))] == ["i", "d"]


def test_a_publication_one_may_not_create_is_asked_for(pg: Database, role: str) -> None:
    pg.execute(
        "create table t (id int primary key)",
        f"alter role {role} replication",
        f"grant select on t to {role}",
    )
    source = Harness(as_role(pg, role), ["public.t"])
    with pytest.raises(Exception, match="publication cannot be prepared") as error:
        source.start().next()
    sql = str(error.value.hint).partition("run: ")[2].split(";")[0]  # type: ignore[attr-defined]
    pg.execute(sql)
    assert problems(source) == ()
    source.once()
    assert list(source.position["streams"]) == ["public.t"]
    assert source.source.teardown(source.context())[-1].startswith("left: publication")


def test_no_table_at_all_is_told_with_a_suggestion(pg: Database, cdc: Make) -> None:
    pg.execute("create table orders (id int primary key)")
    acts: list[Callable[[Harness], object]] = [
        lambda harness: harness.source.streams(harness.context()),
        lambda harness: harness.start().next(),
    ]
    for act in acts:
        with pytest.raises(ConfigError, match=r"did you mean public\.orders"):
            act(cdc("public.ordres"))


def test_a_sample_has_rows_and_no_side_effects(pg: Database, cdc: Make) -> None:
    pg.execute(
        "create table t (id int primary key, v text)",
        "insert into t select n, 'v' from generate_series(1, 9) n",
    )
    source = cdc()
    sample = source.source.sample(source.context(), Stream("public", "t"), 3)
    assert sample.num_rows == 3
    assert sample.schema == source.source.streams(source.context())[0].schema
    assert pg.query("select 1 from pg_publication") == []
    with pytest.raises(ConfigError):
        source.source.sample(source.context(), Stream("public", "none"), 3)
