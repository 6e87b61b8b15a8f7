"""A migration in Python: a table, a row by parameters, and the same row read back.

With the parameter `broken` its statement has a mistake, and the error goes to the host as it is; with the parameter
`raise` it raises an exception that nobody catches; with the parameter `reach` it tries what it must not reach.
"""

import os
import random
import socket
import time

import wit_world
from wit_world.imports import context, log, sql, types


class WitWorld(wit_world.WitWorld):
    def upgrade(self) -> None:
        if context.parameter("raise"):
            misfortune()
        if context.parameter("reach"):
            reach()
        if context.parameter("broken"):
            sql.execute("SELEKT 1", [])
        sql.execute("CREATE TABLE waders (id bigint PRIMARY KEY, name text NOT NULL)", [])
        row = [types.Value_Int64(1), types.Value_Text("whimbrel")]
        sql.execute("INSERT INTO waders VALUES ($1, $2)", row)
        print(sql.query("SELECT name FROM waders", []).rows[0][0].value)
        log.progress(1, 1)

    def downgrade(self) -> None:
        sql.execute("DROP TABLE waders", [])


def misfortune() -> None:
    raise ValueError("the tide was out")


def reach() -> None:
    log.write(log.Level.INFO, f"environment {dict(os.environ)}, time {time.time()}, chance {random.random()}")
    try:
        os.listdir("/etc")
    except OSError as error:
        log.write(log.Level.INFO, f"files: {type(error).__name__}")
    socket.socket().connect(("127.0.0.1", 5432))
