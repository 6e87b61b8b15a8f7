-- A shop for films as PostgreSQL's own features would have it: types, functions, triggers, partitions, views, policies.
CREATE TYPE mpaa_rating AS ENUM ('G', 'PG', 'PG-13', 'R', 'NC-17');
CREATE DOMAIN year AS integer CONSTRAINT year_check CHECK (VALUE >= 1901 AND VALUE <= 2155);
CREATE TYPE money_amount AS (amount numeric, currency text);
CREATE SEQUENCE actor_actor_id_seq START WITH 1 INCREMENT BY 1 NO MINVALUE NO MAXVALUE CACHE 1;
CREATE TABLE actor (actor_id integer DEFAULT nextval('actor_actor_id_seq'::regclass) NOT NULL PRIMARY KEY,
    first_name text NOT NULL, last_name text NOT NULL, last_update timestamptz DEFAULT now() NOT NULL);
ALTER SEQUENCE actor_actor_id_seq OWNED BY actor.actor_id;
CREATE TABLE language (language_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name char(20) NOT NULL UNIQUE, last_update timestamptz DEFAULT now() NOT NULL);
CREATE TABLE film (film_id serial PRIMARY KEY, title text NOT NULL, description text, release_year year,
    language_id integer NOT NULL REFERENCES language ON UPDATE CASCADE ON DELETE RESTRICT, rental_duration smallint DEFAULT 3 NOT NULL,
    rental_rate numeric(4,2) DEFAULT 4.99 NOT NULL, length smallint, rating mpaa_rating DEFAULT 'G'::mpaa_rating,
    special_features text[], fulltext tsvector, last_update timestamptz DEFAULT now() NOT NULL,
    title_length integer GENERATED ALWAYS AS (char_length(title)) STORED);
CREATE TABLE film_actor (actor_id integer NOT NULL REFERENCES actor ON UPDATE CASCADE ON DELETE RESTRICT,
    film_id integer NOT NULL REFERENCES film ON UPDATE CASCADE ON DELETE CASCADE, last_update timestamptz DEFAULT CURRENT_TIMESTAMP NOT NULL, PRIMARY KEY (actor_id, film_id));
CREATE TABLE customer (customer_id serial PRIMARY KEY, email text, active boolean DEFAULT true NOT NULL, create_date date DEFAULT CURRENT_DATE NOT NULL, attributes jsonb DEFAULT '{}'::jsonb);
CREATE TABLE payment (payment_id bigserial, customer_id integer NOT NULL, amount numeric(5,2) NOT NULL, payment_date timestamptz NOT NULL, PRIMARY KEY (payment_date, payment_id)) PARTITION BY RANGE (payment_date);
CREATE TABLE payment_p2026_01 PARTITION OF payment FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00');
CREATE TABLE payment_p2026_02 (LIKE payment INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
ALTER TABLE payment ATTACH PARTITION payment_p2026_02 FOR VALUES FROM ('2026-02-01 00:00:00+00') TO ('2026-03-01 00:00:00+00');
CREATE TABLE payment_default PARTITION OF payment DEFAULT;
ALTER TABLE ONLY payment_p2026_01 ADD CONSTRAINT payment_p2026_01_customer_fkey FOREIGN KEY (customer_id) REFERENCES customer (customer_id) NOT VALID;
ALTER TABLE payment_p2026_01 VALIDATE CONSTRAINT payment_p2026_01_customer_fkey;
CREATE FUNCTION last_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.last_update = CURRENT_TIMESTAMP;
    RETURN NEW;
END $$;
CREATE FUNCTION _group_concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE AS $_$
SELECT CASE WHEN $2 IS NULL THEN $1 WHEN $1 IS NULL THEN $2 ELSE $1 || ', ' || $2 END $_$;
CREATE AGGREGATE group_concat(text) (SFUNC = _group_concat, STYPE = text);
CREATE FUNCTION film_in_stock(p_film_id integer, OUT p_count integer) RETURNS integer LANGUAGE sql STABLE AS $_$ SELECT count(*)::integer FROM film WHERE film_id = $1 $_$;
CREATE TRIGGER last_updated BEFORE UPDATE ON film FOR EACH ROW EXECUTE FUNCTION last_updated();
CREATE TRIGGER film_fulltext_trigger BEFORE INSERT OR UPDATE ON film FOR EACH ROW
    EXECUTE FUNCTION tsvector_update_trigger('fulltext', 'pg_catalog.english', 'title', 'description');
CREATE VIEW film_list AS SELECT f.film_id AS fid, f.title, l.name AS language, group_concat(a.first_name || ' ' || a.last_name) AS actors
    FROM film f JOIN language l USING (language_id) LEFT JOIN film_actor fa ON fa.film_id = f.film_id LEFT JOIN actor a ON a.actor_id = fa.actor_id GROUP BY f.film_id, f.title, l.name;
CREATE MATERIALIZED VIEW films_by_rating AS SELECT rating, count(*) AS films FROM film GROUP BY rating WITH NO DATA;
CREATE INDEX film_fulltext_idx ON film USING gist (fulltext);
CREATE INDEX film_features_idx ON film USING gin (special_features);
CREATE UNIQUE INDEX customer_email_idx ON customer (lower(email)) INCLUDE (active) WHERE active;
CREATE INDEX payment_customer_idx ON payment (customer_id);
CREATE STATISTICS film_stats (dependencies, ndistinct) ON rating, language_id FROM film;
COMMENT ON TABLE film IS 'what is on the shelves';
COMMENT ON COLUMN film.rating IS 'as the board says';
INSERT INTO language (name) VALUES ('English'), ('Íslenska'), ('Suomi');
INSERT INTO film (title, description, release_year, language_id, rating, special_features)
    SELECT 'Film ' || n, 'About the number ' || to_char(n, 'FM999'), 1950 + n % 70, 1 + n % 3, (enum_range(NULL::mpaa_rating))[1 + n % 5], ARRAY['Trailers', md5(n::text)] FROM generate_series(1, 300) AS n;
INSERT INTO actor (first_name, last_name) SELECT initcap('actor'), 'No ' || n FROM generate_series(1, 50) n RETURNING actor_id;
INSERT INTO film_actor (actor_id, film_id) SELECT DISTINCT 1 + n % 50, 1 + n % 300 FROM generate_series(1, 500) n ON CONFLICT DO NOTHING;
INSERT INTO customer (email, attributes) SELECT 'c' || n || '@example.org', jsonb_build_object('n', n, 'tags', to_jsonb(ARRAY[n, n + 1])) FROM generate_series(1, 40) n;
INSERT INTO payment (customer_id, amount, payment_date) SELECT 1 + n % 40, round((random() * 10)::numeric, 2), timestamptz '2026-01-01 00:00:00+00' + n * interval '4 hours' FROM generate_series(1, 400) n;
REFRESH MATERIALIZED VIEW films_by_rating;
UPDATE film SET rental_rate = rental_rate * 1.1 FROM language l WHERE l.language_id = film.language_id AND l.name = 'Suomi';
UPDATE customer SET attributes = jsonb_set(attributes, '{level}', '"gold"') WHERE (attributes ->> 'n')::int > 30 AND attributes @> '{"tags": [35]}';
WITH gone AS (DELETE FROM payment WHERE payment_date < '2026-01-05' RETURNING *), kept AS (SELECT customer_id, sum(amount) AS total FROM gone GROUP BY customer_id)
    UPDATE customer c SET active = kept.total < 5 FROM kept WHERE kept.customer_id = c.customer_id;
SELECT f.title, ts_rank(f.fulltext, q) FROM film f, to_tsquery('english', 'number & film') q WHERE f.fulltext @@ q ORDER BY 2 DESC FETCH FIRST 5 ROWS ONLY;
SELECT date_trunc('week', payment_date) AS week, sum(amount) FILTER (WHERE amount > 5), percentile_cont(0.5) WITHIN GROUP (ORDER BY amount), array_agg(DISTINCT customer_id) FROM payment GROUP BY ROLLUP (1) ORDER BY 1;
SELECT c.customer_id, p.last FROM customer c CROSS JOIN LATERAL (SELECT max(payment_date) AS last FROM payment p WHERE p.customer_id = c.customer_id) p WHERE p.last IS NOT NULL;
ALTER TABLE film ALTER COLUMN length TYPE integer USING length::integer, ALTER COLUMN title SET NOT NULL, ADD CONSTRAINT positive CHECK (rental_rate > 0);
ALTER TYPE mpaa_rating RENAME VALUE 'NC-17' TO 'NC17';
ALTER TABLE customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY customer_active ON customer FOR SELECT USING (active);
CREATE RULE no_actor_truncation AS ON DELETE TO actor WHERE OLD.actor_id < 0 DO INSTEAD NOTHING;
ALTER TABLE payment DETACH PARTITION payment_default;
DROP TABLE payment_default;
DROP VIEW film_list;
DROP TRIGGER last_updated ON film;
DROP FUNCTION film_in_stock(integer);
CREATE OR REPLACE VIEW film_list AS SELECT film_id AS fid, title FROM film;
