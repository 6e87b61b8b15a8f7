//! Taking away all that a database holds, so that what a backup does not have is gone as well.

/// A statement for each thing that no schema holds, and for each schema but `public`, which keeps its owner and its
/// grants. Subscriptions stay: to drop one is not possible in a transaction, and concerns another server.
pub(super) const DATABASE: &str = "
SELECT sql FROM (
  SELECT 1 AS rank, evtname::text AS name, pg_catalog.format('DROP EVENT TRIGGER IF EXISTS %I', evtname) AS sql
  FROM pg_catalog.pg_event_trigger e
  WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_event_trigger'::regclass AND d.objid = e.oid AND d.deptype = 'e')
  UNION ALL
  SELECT 2, pubname, pg_catalog.format('DROP PUBLICATION IF EXISTS %I', pubname) FROM pg_catalog.pg_publication
  UNION ALL
  SELECT 3, extname, pg_catalog.format('DROP EXTENSION IF EXISTS %I CASCADE', extname)
  FROM pg_catalog.pg_extension WHERE oid >= 16384
  UNION ALL
  SELECT 4, nspname, pg_catalog.format('DROP SCHEMA IF EXISTS %I CASCADE', nspname)
  FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
  UNION ALL
  SELECT 5, fdwname, pg_catalog.format('DROP FOREIGN DATA WRAPPER IF EXISTS %I CASCADE', fdwname)
  FROM pg_catalog.pg_foreign_data_wrapper WHERE oid >= 16384
  UNION ALL
  SELECT 6, lanname, pg_catalog.format('DROP LANGUAGE IF EXISTS %I CASCADE', lanname)
  FROM pg_catalog.pg_language WHERE oid >= 16384
  UNION ALL
  SELECT 7, oid::text, pg_catalog.format('DROP CAST IF EXISTS (%s AS %s)', castsource::regtype, casttarget::regtype)
  FROM pg_catalog.pg_cast c WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
    WHERE d.classid = 'pg_catalog.pg_cast'::regclass AND d.objid = c.oid AND d.deptype IN ('i', 'e'))
  UNION ALL
  SELECT 8, amname, pg_catalog.format('DROP ACCESS METHOD IF EXISTS %I CASCADE', amname)
  FROM pg_catalog.pg_am WHERE oid >= 16384
  UNION ALL
  SELECT 9, oid::text, pg_catalog.format('SELECT pg_catalog.lo_unlink(%s)', oid)
  FROM pg_catalog.pg_largeobject_metadata
) AS everything
ORDER BY rank, name";

/// A statement for each object in `public` that is not a part of another one.
pub(super) const PUBLIC: &str = "
SELECT pg_catalog.format('DROP %s IF EXISTS %s CASCADE',
    CASE WHEN o.type IN ('function', 'procedure', 'aggregate') THEN 'ROUTINE'
         WHEN o.type = 'statistics object' THEN 'STATISTICS'
         ELSE o.type END, o.identity)
FROM pg_catalog.pg_depend d, LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, 0) o
WHERE d.refclassid = 'pg_catalog.pg_namespace'::regclass AND d.refobjid = pg_catalog.to_regnamespace('public')
  AND d.deptype = 'n' AND d.objsubid = 0
  AND o.type NOT IN ('default acl', 'extension', 'publication namespace')
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend i
    WHERE i.classid = d.classid AND i.objid = d.objid AND i.objsubid = 0 AND i.deptype IN ('i', 'e', 'P', 'S'))
ORDER BY d.classid <> 'pg_catalog.pg_class'::regclass, o.type = 'sequence', o.identity";
