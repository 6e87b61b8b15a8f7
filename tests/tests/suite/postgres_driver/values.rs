//! Every kind of value, at its edges.

use whimbrel::driver::{Authority, DriverError, Value};
use whimbrel_tests::{Backend, Database, as_guest, on_every_postgres};

use super::{NO_LIMIT, connect, value};

fn other(type_name: &str, text: &str) -> Value {
    Value::Other {
        type_name: type_name.to_owned(),
        text: text.to_owned(),
    }
}

on_every_postgres! {
    async fn values_make_the_round_trip(db: Database) {
        let digits = format!("-{}.{}", "9".repeat(60), "1".repeat(40));
        let cases = [
            ("bool", Value::Boolean(true)),
            ("int2", Value::Int16(i16::MIN)),
            ("int4", Value::Int32(i32::MIN)),
            ("int8", Value::Int64(i64::MAX)),
            ("float4", Value::Float32(f32::NEG_INFINITY)),
            ("float4", Value::Float32(f32::MIN_POSITIVE)),
            ("float8", Value::Float64(f64::INFINITY)),
            ("float8", Value::Float64(f64::MAX)),
            ("numeric", Value::Numeric(digits)),
            ("numeric", Value::Numeric("NaN".into())),
            ("numeric", Value::Numeric("0.00000000000000000001".into())),
            ("numeric", Value::Numeric("100000000000000000000".into())),
            ("numeric", Value::Numeric("0".into())),
            ("text", Value::Text(String::new())),
            ("text", Value::Text("ä🦤\n\"'\\".into())),
            ("bytea", Value::Bytes(Vec::new())),
            ("bytea", Value::Bytes((0..=255).collect())),
            ("date", Value::Date(0)),
            ("date", Value::Date(i32::MIN)),
            ("date", Value::Date(i32::MAX)),
            ("date", Value::Date(-2_440_588)),
            ("date", Value::Date(2_145_042_905)),
            ("time", Value::Time(0)),
            ("time", Value::Time(86_400_000_000)),
            ("timestamp", Value::Timestamp(-62_135_596_800_000_001)),
            ("timestamp", Value::Timestamp(i64::MIN)),
            ("timestamp", Value::Timestamp(i64::MAX - 1)),
            ("timestamptz", Value::Timestamptz(i64::MAX)),
            ("timestamptz", Value::Timestamptz(1)),
            ("interval", Value::Interval { months: -14, days: 400, microseconds: -1 }),
            ("uuid", Value::Uuid("00000000-0000-0000-0000-0000000000ff".into())),
            ("json", Value::Json("{\"a\" : [1, null]}".into())),
            ("jsonb", Value::Json("{\"a\": [1, null]}".into())),
        ];
        let mut session = connect(&db, as_guest()).await;
        let mut own = connect(&db, Authority::Host).await;
        for (type_name, sent) in cases {
            let sql = format!("SELECT $1::{type_name}");
            assert_eq!(value(&mut *session, &sql, std::slice::from_ref(&sent)).await, sent, "{type_name}");
            assert_eq!(value(&mut *own, &sql, std::slice::from_ref(&sent)).await, sent, "{type_name}, by the host");
            assert_eq!(value(&mut *session, &sql, &[Value::Null]).await, Value::Null, "{type_name}");
        }
        let nan = value(&mut *session, "SELECT $1::float8", &[Value::Float64(f64::NAN)]).await;
        assert!(matches!(nan, Value::Float64(number) if number.is_nan()));
    }

    async fn the_text_of_dates_is_what_the_server_means(db: Database) {
        let mut session = connect(&db, Authority::Host).await;
        let cases = [
            ("date '0001-12-31 BC'", Value::Date(-719_163)),
            ("date '4714-11-24 BC'", Value::Date(-2_440_588)),
            ("timestamp '0044-03-15 12:00:00.5 BC'", Value::Timestamp(-63_517_435_199_500_000)),
            ("timestamptz '1969-12-31 23:59:59+00'", Value::Timestamptz(-1_000_000)),
            ("interval '-1 mon 2 days -00:00:01.5'", Value::Interval { months: -1, days: 2, microseconds: -1_500_000 }),
        ];
        for (literal, expected) in cases {
            let read = value(&mut *session, &format!("SELECT {literal}"), &[]).await;
            if let (Value::Timestamp(read), Value::Timestamp(_)) = (&read, &expected) {
                let back = value(&mut *session, &format!("SELECT $1 = {literal}"), &[Value::Timestamp(*read)]).await;
                assert_eq!(back, Value::Boolean(true), "{literal}");
                continue;
            }
            assert_eq!(read, expected, "{literal}");
            let same = value(&mut *session, &format!("SELECT $1 = {literal}"), &[expected]).await;
            assert_eq!(same, Value::Boolean(true), "{literal}");
        }
    }

    async fn large_values_pass(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        for sent in [Value::Text("ä".repeat(5 << 20)), Value::Bytes(vec![0; 10 << 20])] {
            let sql = if matches!(sent, Value::Text(_)) { "SELECT $1::text" } else { "SELECT $1::bytea" };
            assert_eq!(value(&mut *session, sql, std::slice::from_ref(&sent)).await, sent);
        }
    }

    async fn other_types_come_as_their_text(db: Database) {
        db.execute(
            "CREATE TYPE mood AS ENUM ('so so', 'good');
             CREATE DOMAIN positive AS int CHECK (value > 0);
             CREATE TYPE pair AS (a int, b text)",
        ).await;
        let mut session = connect(&db, as_guest()).await;
        let cases = [
            ("'so so'::mood", other("mood", "so so")),
            ("5::positive", Value::Int32(5)),
            ("(1, 'x y')::pair", other("pair", "(1,\"x y\")")),
            ("ARRAY[1, NULL, 3]", other("int4[]", "{1,NULL,3}")),
            ("ARRAY[['a', 'b,c'], ['\"', '']]", other("text[]", "{{a,\"b,c\"},{\"\\\"\",\"\"}}")),
            ("ARRAY['so so']::mood[]", other("mood[]", "{\"so so\"}")),
            ("'{}'::int[]", other("int4[]", "{}")),
            ("int4range(1, 5)", other("int4range", "[1,5)")),
            ("'10.0.0.1/8'::inet", other("inet", "10.0.0.1/8")),
            ("B'101'", other("bit", "101")),
            ("'12:00+02'::timetz", other("timetz", "12:00:00+02")),
            ("'pg_class'::regclass", other("regclass", "pg_class")),
            ("NULL::int[]", Value::Null),
            ("'x'::\"char\"", Value::Text("x".into())),
            ("'n'::name", Value::Text("n".into())),
            ("'ab'::char(4)", Value::Text("ab  ".into())),
        ];
        for (expression, expected) in cases {
            let sql = format!("SELECT {expression} AS c; -- end");
            assert_eq!(value(&mut *session, &sql, &[]).await, expected, "{expression}");
        }
        let result = session.query("SELECT ARRAY[1] AS c, 2 AS c", &[], NO_LIMIT).await.unwrap();
        let columns: Vec<_> = result.columns.iter().map(|c| (c.name.as_str(), c.type_name.as_str())).collect();
        assert_eq!(columns, [("c", "int4[]"), ("c", "int4")]);

        session.run("CREATE TABLE t (m mood, a int[], p positive, n inet)").await.unwrap();
        let returned = session
            .query(
                "INSERT INTO t VALUES ($1, $2, $3, $4) RETURNING a, m",
                &[Value::from("good"), other("int4[]", "{1,2}"), Value::Int64(7), Value::from("::1")],
                NO_LIMIT,
            )
            .await
            .unwrap();
        assert_eq!(returned.into_rows(), [[other("int4[]", "{1,2}"), other("mood", "good")]]);
    }

    async fn what_cannot_be_converted_is_named(db: Database) {
        let mut session = connect(&db, as_guest()).await;
        let error = session.execute("SELECT $1::int2", &[Value::Int64(40_000)]).await.unwrap_err();
        assert!(matches!(&error, DriverError::Conversion(text) if text.contains("$1") && text.contains("int2")), "{error:?}");
        let error = session.query("SELECT 1 AS a, '294276-12-31'::timestamp AS late", &[], NO_LIMIT).await.unwrap_err();
        assert!(matches!(&error, DriverError::Conversion(text) if text.contains("late") && text.contains("timestamp")), "{error:?}");
        let error = session.execute("SELECT $1::int", &[]).await.unwrap_err();
        assert!(matches!(error, DriverError::Conversion(_) | DriverError::Database(_)), "{error:?}");
        let error = session.execute("SELECT $1::int", &[Value::Null, Value::Null]).await.unwrap_err();
        assert!(error.to_string().contains("1 parameters but 2 values"), "{error}");
        let error = session.run("SELECT '\0'").await.unwrap_err();
        assert!(matches!(error, DriverError::Conversion(_)), "{error:?}");
        assert_eq!(value(&mut *session, "SELECT 1", &[]).await, Value::Int32(1), "the session goes on");
    }
}

#[test]
fn infinite_numerics_pass_where_the_server_has_them() {
    whimbrel_tests::run(Backend::Postgres(15), async |db: Database| {
        let mut session = connect(&db, as_guest()).await;
        for text in ["Infinity", "-Infinity"] {
            let sent = Value::Numeric(text.into());
            let read = value(
                &mut *session,
                "SELECT $1::numeric",
                std::slice::from_ref(&sent),
            )
            .await;
            assert_eq!(read, sent);
        }
    });
}
