"""The same with psycopg2, in batches of 10,000 rows: `values` as it is usually written in an Alembic migration, with a cursor
on the server and `execute_values`; `range` as fast as it gets, with ranges of the key and arrays."""

import sys

import psycopg2
from psycopg2.extras import execute_values

ROWS = 10_000


def made(given: str, family: str) -> tuple[str, str]:
    return f"{given}.{family}".lower(), (given[:1] + family[:1]).upper()


def values(url: str) -> None:
    with psycopg2.connect(url) as connection:
        read = connection.cursor("people", withhold=True)
        read.itersize = ROWS
        write = connection.cursor()
        read.execute("SELECT id, given, family FROM people ORDER BY id")
        while rows := read.fetchmany(ROWS):
            execute_values(
                write,
                "UPDATE people SET slug = new.slug, initials = new.initials "
                "FROM (VALUES %s) AS new (id, slug, initials) WHERE people.id = new.id",
                [(id, *made(given, family)) for id, given, family in rows],
                page_size=ROWS,
            )
            connection.commit()


def range_(url: str) -> None:
    with psycopg2.connect(url) as connection:
        cursor = connection.cursor()
        after = 0
        while True:
            cursor.execute(
                "SELECT id, given, family FROM people WHERE id > %s ORDER BY id LIMIT %s",
                (after, ROWS),
            )
            rows = cursor.fetchall()
            if not rows:
                return
            ids = [row[0] for row in rows]
            new = [made(given, family) for _, given, family in rows]
            cursor.execute(
                "UPDATE people SET slug = new.slug, initials = new.initials "
                "FROM unnest(%s::bigint[], %s::text[], %s::text[]) AS new (id, slug, initials) "
                "WHERE people.id = new.id AND people.id > %s AND people.id <= %s",
                (ids, [slug for slug, _ in new], [initials for _, initials in new], after, ids[-1]),
            )
            connection.commit()
            after = ids[-1]


{"values": values, "range": range_}[sys.argv[1]](sys.argv[2])
