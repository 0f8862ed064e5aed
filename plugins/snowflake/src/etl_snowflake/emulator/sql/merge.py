"""MERGE: DuckDB's own, with Snowflake's counts, and its refusal of two source rows for one target row."""

from __future__ import annotations

from collections import Counter

import duckdb
from sqlglot import exp

from etl_snowflake.emulator.catalog import Table
from etl_snowflake.emulator.errors import invalid_identifier, nondeterministic
from etl_snowflake.emulator.nanos import refine_like
from etl_snowflake.emulator.results import MERGE, Result, changed
from etl_snowflake.emulator.sql.context import Context
from etl_snowflake.emulator.sql.translate import translate
from etl_snowflake.emulator.sql.trees import name_of, names_of

_WORDS = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}


def merge(context: Context, tree: exp.Merge) -> Result:
    """Carry out a MERGE; one atomic statement, alone among those that change rows."""
    target = tree.this
    assert isinstance(target, exp.Table)
    table = context.table(names_of(target))
    actions = _actions(tree)
    for action in sorted(actions):
        context.require(action, "TABLE", *table.path)
    context.require_warehouse()
    _check_columns(tree, table)
    translated = translate(context, tree)
    sql = translated.sql() + " RETURNING merge_action"

    def work() -> Counter[str]:
        refine_like(context.cursor, table, translated.tables)
        return _run(context, sql)

    counts = context.atomic(work, alone=True)
    context.account.journal.count(merges=1, rows_merged=sum(counts.values()))
    return changed(MERGE, **{word: counts[each] for each, word in _WORDS.items() if each in actions})


def _run(context: Context, sql: str) -> Counter[str]:
    try:
        rows = context.cursor.execute(sql)
    except duckdb.InvalidInputException as error:
        if "more than once" in str(error):
            raise nondeterministic() from error
        raise
    return Counter(row[0] for row in rows)


def _actions(tree: exp.Merge) -> set[str]:
    found = set()
    for when in tree.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Insert):
            found.add("INSERT")
        elif isinstance(then, exp.Update):
            found.add("UPDATE")
        else:
            found.add("DELETE")
    return found


def _check_columns(tree: exp.Merge, table: Table) -> None:
    """Refuse columns that the target has not, and strip the target's name from those that are set."""
    for when in tree.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Update):
            written = [each.this for each in then.expressions]
        elif isinstance(then, exp.Insert) and then.this is not None:
            written = list(then.this.expressions)
        else:
            continue
        for each in written:
            name = name_of(each.this if isinstance(each, exp.Column) else each)
            if table.column(name) is None:
                raise invalid_identifier(name)
            if isinstance(each, exp.Column):
                each.set("table", None)
