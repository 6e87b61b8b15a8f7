SELECT md5(string_agg(part, E'\n' ORDER BY part)) FROM (
    SELECT format('relation %s %s %s %s %s %s %s', c.oid, relname, relnamespace, relkind, relowner, relacl, relrowsecurity) AS part
        FROM pg_class c WHERE c.oid >= 16384 AND relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('column %s %s %s %s %s', attrelid, attname, atttypid, attnotnull, attacl) FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
        WHERE attrelid >= 16384 AND attnum > 0 AND relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('function %s %s %s %s %s %s', oid, proname, prosrc, prosecdef, proowner, proacl) FROM pg_proc WHERE oid >= 16384
    UNION ALL SELECT format('trigger %s %s %s %s', oid, tgrelid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT format('rule %s %s %s', oid, rulename, ev_class) FROM pg_rewrite WHERE oid >= 16384
    UNION ALL SELECT format('policy %s %s', oid, polname) FROM pg_policy
    UNION ALL SELECT format('default %s %s', oid, adbin) FROM pg_attrdef
    UNION ALL SELECT format('constraint %s %s', oid, conname) FROM pg_constraint WHERE oid >= 16384
    UNION ALL SELECT format('type %s %s', oid, typname) FROM pg_type WHERE oid >= 16384 AND typnamespace::regnamespace::text !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('cast %s', oid) FROM pg_cast WHERE oid >= 16384
    UNION ALL SELECT format('operator %s %s', oid, oprname) FROM pg_operator WHERE oid >= 16384
    UNION ALL SELECT format('operator class %s %s', oid, opcname) FROM pg_opclass WHERE oid >= 16384
    UNION ALL SELECT format('language %s', lanname) FROM pg_language
    UNION ALL SELECT format('schema %s %s %s', nspname, nspowner, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(toast|temp)'
    UNION ALL SELECT format('extension %s', extname) FROM pg_extension
    UNION ALL SELECT format('comment %s %s', objoid, description) FROM pg_description WHERE objoid >= 16384
    UNION ALL SELECT format('default acl %s', defaclacl) FROM pg_default_acl
    UNION ALL SELECT format('event trigger %s', evtname) FROM pg_event_trigger
    UNION ALL SELECT format('publication %s', pubname) FROM pg_publication
    UNION ALL SELECT format('wrapper %s', fdwname) FROM pg_foreign_data_wrapper
    UNION ALL SELECT format('large object %s', oid) FROM pg_largeobject_metadata
    UNION ALL SELECT format('prepared %s', gid) FROM pg_prepared_xacts WHERE database = current_database()
    UNION ALL SELECT format('sneaky role or database %s', rolname) FROM pg_roles WHERE rolname = 'sneaky'
    UNION ALL SELECT format('sneaky database %s', datname) FROM pg_database WHERE datname = 'sneaky'
    UNION ALL SELECT format('sneaky tablespace %s', spcname) FROM pg_tablespace WHERE spcname = 'sneaky'
    UNION ALL SELECT format('setting %s', setconfig) FROM pg_db_role_setting
    UNION ALL SELECT format('rows %s %s', c.oid, query_to_xml(format('SELECT * FROM %s AS t ORDER BY t::text', c.oid::regclass), true, true, ''))
        FROM pg_class c WHERE c.oid >= 16384 AND relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^pg_(toast|temp)'
        AND relname NOT IN ('whimbrel_ledger', 'whimbrel_version') AND relname !~ '^whimbrel_'
) AS parts
