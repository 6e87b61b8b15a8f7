"""Says what Alembic does: reads one JSON request a line, and answers each with one.

A request is {"graph": [...]}, which begins anew with an empty database, {"command": [...], "targets": [...]}, or
{"set": [...], "applied": [...]}, which makes the database what it would be after other commands.
"""

import json
import sys
import tempfile
import types
import warnings

import sqlalchemy
from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.script.revision import RevisionError, RevisionMap
from alembic.util import CommandError


class Case:
    """One graph, and a database that starts empty."""

    def __init__(self, folder, graph):
        self.engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.pool.StaticPool)
        with self.engine.begin() as connection:
            connection.execute(sqlalchemy.text("CREATE TABLE applied (id text PRIMARY KEY)"))
        scripts = [self.script(node) for node in graph]
        self.scripts = ScriptDirectory(folder)
        self.scripts.revision_map = RevisionMap(lambda: scripts)
        self.scripts.revision_map.heads

    def script(self, node):
        def run(sql):
            self.connection.execute(sqlalchemy.text(sql), {"id": node["id"]})

        module = types.SimpleNamespace(
            down_revision=tuple(node["revises"]) or None,
            depends_on=tuple(node["depends_on"]) or None,
            branch_labels=tuple(node["labels"]) or None,
            upgrade=lambda: run("INSERT INTO applied VALUES (:id)"),
            downgrade=lambda: run("DELETE FROM applied WHERE id = :id"),
            __doc__="",
        )
        return Script(module, node["id"], "/dev/null")

    def command(self, name, targets):
        def steps(current, _):
            if name == "upgrade":
                return self.scripts._upgrade_revs(targets[0], current)
            if name == "downgrade":
                return self.scripts._downgrade_revs(targets[0], current)
            return self.scripts._stamp_revs(tuple(targets), current)

        with self.engine.connect() as self.connection, warnings.catch_warnings(record=True) as noticed:
            warnings.simplefilter("always")
            context = MigrationContext.configure(
                self.connection, opts={"fn": steps, "script": self.scripts, "transaction_per_migration": True}
            )
            answer = {"error": None, "crashed": False}
            try:
                with context.begin_transaction():
                    context.run_migrations()
            except (CommandError, RevisionError) as error:
                answer["error"] = str(error)
            except Exception as error:
                answer.update(error=repr(error), crashed=True)
            self.connection.rollback()
        answer["warned"] = any("ambiguous" in str(warning.message) for warning in noticed)
        return answer | self.state()

    def set(self, rows, applied):
        with self.engine.begin() as connection:
            MigrationContext.configure(connection)._ensure_version_table()
            for table, values in (("alembic_version", rows), ("applied", applied)):
                connection.execute(sqlalchemy.text(f"DELETE FROM {table}"))
                for value in values:
                    connection.execute(sqlalchemy.text(f"INSERT INTO {table} VALUES (:value)"), {"value": value})
        return self.state()

    def state(self):
        with self.engine.connect() as connection:
            def column(sql):
                return list(connection.execute(sqlalchemy.text(sql)).scalars())

            has_versions = column("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'") == [1]
            return {
                "rows": column("SELECT version_num FROM alembic_version ORDER BY 1") if has_versions else [],
                "applied": column("SELECT id FROM applied ORDER BY 1"),
            }


def main():
    with tempfile.TemporaryDirectory() as folder:
        case = None
        for line in sys.stdin:
            request = json.loads(line)
            if "graph" in request:
                case = Case(folder, request["graph"])
                answer = case.state()
            elif "set" in request:
                answer = case.set(request["set"], request["applied"])
            else:
                answer = case.command(request["command"], request["targets"])
            print(json.dumps(answer), flush=True)


main()
