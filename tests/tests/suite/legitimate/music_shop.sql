-- A shop for music: names in quotes and in two cases, keys between all tables, rows in bulk. For every database.
CREATE TABLE "Artist" ("ArtistId" integer NOT NULL PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "Album" ("AlbumId" integer NOT NULL PRIMARY KEY, "Title" varchar(160) NOT NULL, "ArtistId" integer NOT NULL,
    FOREIGN KEY ("ArtistId") REFERENCES "Artist" ("ArtistId") ON DELETE NO ACTION ON UPDATE NO ACTION);
CREATE TABLE "Genre" ("GenreId" integer NOT NULL PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "MediaType" ("MediaTypeId" integer NOT NULL PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "Track" ("TrackId" integer NOT NULL PRIMARY KEY, "Name" varchar(200) NOT NULL, "AlbumId" integer,
    "MediaTypeId" integer NOT NULL, "GenreId" integer, "Composer" varchar(220), "Milliseconds" integer NOT NULL,
    "Bytes" integer, "UnitPrice" numeric(10,2) NOT NULL DEFAULT 0.99,
    FOREIGN KEY ("AlbumId") REFERENCES "Album" ("AlbumId"), FOREIGN KEY ("GenreId") REFERENCES "Genre" ("GenreId"),
    FOREIGN KEY ("MediaTypeId") REFERENCES "MediaType" ("MediaTypeId"));
CREATE TABLE "Employee" ("EmployeeId" integer NOT NULL PRIMARY KEY, "LastName" varchar(20) NOT NULL,
    "FirstName" varchar(20) NOT NULL, "ReportsTo" integer REFERENCES "Employee" ("EmployeeId"), "Email" varchar(60) UNIQUE);
CREATE TABLE "Customer" ("CustomerId" integer NOT NULL PRIMARY KEY, "FirstName" varchar(40) NOT NULL,
    "LastName" varchar(20) NOT NULL, "Country" varchar(40), "Email" varchar(60) NOT NULL,
    "SupportRepId" integer REFERENCES "Employee" ("EmployeeId") ON DELETE SET NULL);
CREATE TABLE "Invoice" ("InvoiceId" integer NOT NULL PRIMARY KEY, "CustomerId" integer NOT NULL REFERENCES "Customer",
    "InvoiceDate" timestamp NOT NULL, "Total" numeric(10,2) NOT NULL CHECK ("Total" >= 0));
CREATE TABLE "InvoiceLine" ("InvoiceLineId" integer NOT NULL PRIMARY KEY,
    "InvoiceId" integer NOT NULL REFERENCES "Invoice" ("InvoiceId") ON DELETE CASCADE,
    "TrackId" integer NOT NULL REFERENCES "Track" ("TrackId"), "UnitPrice" numeric(10,2) NOT NULL, "Quantity" integer NOT NULL);
CREATE TABLE "Playlist" ("PlaylistId" integer NOT NULL PRIMARY KEY, "Name" varchar(120));
CREATE TABLE "PlaylistTrack" ("PlaylistId" integer NOT NULL REFERENCES "Playlist", "TrackId" integer NOT NULL REFERENCES "Track",
    PRIMARY KEY ("PlaylistId", "TrackId"));
CREATE INDEX "IFK_AlbumArtistId" ON "Album" ("ArtistId");
CREATE INDEX "IFK_TrackAlbumId" ON "Track" ("AlbumId");
CREATE INDEX "IFK_TrackName" ON "Track" (lower("Name")) WHERE "Composer" IS NOT NULL;
INSERT INTO "Artist" ("ArtistId", "Name") VALUES (1, 'Numenius'), (2, 'The Godwits'), (3, 'Señor Curlew');
INSERT INTO "Album" VALUES (1, 'Over the Atlantic', 1), (2, 'Through the Hurricane', 1), (3, 'Mudflat', 2);
INSERT INTO "Genre" VALUES (1, 'Shore'), (2, 'Marsh');
INSERT INTO "MediaType" VALUES (1, 'Shell');
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
    INSERT INTO "Track" ("TrackId", "Name", "AlbumId", "MediaTypeId", "GenreId", "Composer", "Milliseconds", "Bytes")
    SELECT i, 'Call ' || i, 1 + i % 3, 1, 1 + i % 2, CASE WHEN i % 5 = 0 THEN 'N. phaeopus' END, 1000 * i, 4096 * i FROM n;
INSERT INTO "Employee" VALUES (1, 'Plover', 'Ann', NULL, 'ann@example.org'), (2, 'Knot', 'Bo', 1, 'bo@example.org');
INSERT INTO "Customer" SELECT "EmployeeId" + 10, "FirstName", "LastName", 'Iceland', "Email", 2 FROM "Employee";
INSERT INTO "Invoice" VALUES (1, 11, '2026-01-01 00:00:00', 0), (2, 12, '2026-02-01 00:00:00', 0);
INSERT INTO "InvoiceLine" SELECT "TrackId", 1 + "TrackId" % 2, "TrackId", "UnitPrice", 1 FROM "Track" WHERE "TrackId" <= 20;
UPDATE "Invoice" SET "Total" = (SELECT sum(l."UnitPrice" * l."Quantity") FROM "InvoiceLine" AS l WHERE l."InvoiceId" = "Invoice"."InvoiceId");
INSERT INTO "Playlist" VALUES (1, 'All'), (2, 'Long');
INSERT INTO "PlaylistTrack" SELECT p."PlaylistId", t."TrackId" FROM "Playlist" p CROSS JOIN "Track" t
    WHERE p."Name" = 'All' OR t."Milliseconds" > (SELECT avg("Milliseconds") FROM "Track");
ALTER TABLE "Customer" ADD COLUMN "Phone" varchar(24);
ALTER TABLE "Customer" RENAME COLUMN "Phone" TO "Telephone";
UPDATE "Customer" SET "Telephone" = 'unknown' WHERE "Telephone" IS NULL AND "Country" = 'Iceland';
INSERT INTO "Genre" VALUES (2, 'Moor'), (3, 'Tundra') ON CONFLICT ("GenreId") DO UPDATE SET "Name" = excluded."Name";
DELETE FROM "InvoiceLine" WHERE "InvoiceId" IN (SELECT "InvoiceId" FROM "Invoice" WHERE "Total" < 1);
DELETE FROM "InvoiceLine" WHERE "InvoiceId" = 2;
DELETE FROM "Invoice" WHERE "InvoiceId" = 2;
SELECT a."Name", count(*) AS tracks, sum(t."Milliseconds") / 60000 AS minutes
    FROM "Artist" a JOIN "Album" b USING ("ArtistId") LEFT JOIN "Track" t ON t."AlbumId" = b."AlbumId"
    GROUP BY a."Name" HAVING count(*) > 0 ORDER BY 2 DESC, a."Name" LIMIT 10;
SELECT "Name", row_number() OVER (PARTITION BY "AlbumId" ORDER BY "Milliseconds" DESC) AS place, coalesce("Composer", 'unknown') FROM "Track"
    WHERE "Name" LIKE 'Call 1%' AND EXISTS (SELECT 1 FROM "PlaylistTrack" p WHERE p."TrackId" = "Track"."TrackId");
ALTER TABLE "Playlist" RENAME TO "Collection";
INSERT INTO "Collection" ("PlaylistId", "Name") VALUES (3, 'None');
DROP INDEX "IFK_TrackName";
DROP TABLE "PlaylistTrack";
DROP TABLE IF EXISTS "Collection";
