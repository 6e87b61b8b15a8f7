// The same with `pg`, in batches of 10,000 rows: ranges of the key, and arrays.

const { Client } = require("pg");

const ROWS = 10_000;

const slug = ({ given, family }) => `${given}.${family}`.toLowerCase();
const initials = ({ given, family }) => (given.slice(0, 1) + family.slice(0, 1)).toUpperCase();

async function fill(url) {
  const client = new Client(url);
  await client.connect();
  for (let after = 0; ; ) {
    await client.query("BEGIN");
    const { rows } = await client.query({
      name: "read",
      text: "SELECT id, given, family FROM people WHERE id > $1 ORDER BY id LIMIT $2",
      values: [after, ROWS],
    });
    if (rows.length === 0) break;
    await client.query({
      name: "write",
      text:
        "UPDATE people SET slug = new.slug, initials = new.initials " +
        "FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (id, slug, initials) " +
        "WHERE people.id = new.id AND people.id > $4 AND people.id <= $5",
      values: [rows.map((row) => row.id), rows.map(slug), rows.map(initials), after, rows.at(-1).id],
    });
    await client.query("COMMIT");
    after = rows.at(-1).id;
  }
  await client.end();
}

fill(process.argv[2]);
