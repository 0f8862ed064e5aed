MERGE INTO "ETL_DB"."SHOP"."ORDERS" AS t
USING (
WITH l AS (SELECT * FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" > ? AND "_ETL_SEQ" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1)
SELECT n."ID" AS "ID", n."A ""B""" AS "A ""B""", n."PRICE" AS "PRICE", n."TAGS"::ARRAY AS "TAGS", n."DOC"::VARIANT AS "DOC", n."RAW" AS "RAW", n."AT" AS "AT", n."_ETL_OP" AS "_ETL_ACT" FROM n
) AS s
ON t."ID" = s."ID" AND t."A ""B""" = s."A ""B"""
WHEN MATCHED AND s."_ETL_ACT" = 'd' THEN DELETE
WHEN MATCHED THEN UPDATE SET "PRICE" = s."PRICE", "TAGS" = s."TAGS", "DOC" = s."DOC", "RAW" = s."RAW", "AT" = s."AT"
WHEN NOT MATCHED AND s."_ETL_ACT" <> 'd' THEN INSERT ("ID", "A ""B""", "PRICE", "TAGS", "DOC", "RAW", "AT") VALUES (s."ID", s."A ""B""", s."PRICE", s."TAGS", s."DOC", s."RAW", s."AT");

MERGE INTO "ETL_DB"."SHOP"."ORDERS" AS t
USING (
WITH l AS (SELECT * FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" > ? AND "_ETL_SEQ" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1),
m AS (SELECT DISTINCT GET(n."_ETL_OLD_KEY", 'id')::VARCHAR::NUMBER(19,0) AS "ID", GET(n."_ETL_OLD_KEY", 'a "b"')::VARCHAR AS "A ""B""" FROM n WHERE n."_ETL_OLD_KEY" IS NOT NULL)
SELECT n."ID" AS "ID", n."A ""B""" AS "A ""B""", CASE WHEN ARRAY_CONTAINS('price'::VARIANT, n."_ETL_UNCHANGED") THEN b."PRICE" ELSE n."PRICE" END AS "PRICE", CASE WHEN ARRAY_CONTAINS('tags'::VARIANT, n."_ETL_UNCHANGED") THEN b."TAGS" ELSE n."TAGS"::ARRAY END AS "TAGS", CASE WHEN ARRAY_CONTAINS('doc'::VARIANT, n."_ETL_UNCHANGED") THEN b."DOC" ELSE n."DOC"::VARIANT END AS "DOC", CASE WHEN ARRAY_CONTAINS('raw'::VARIANT, n."_ETL_UNCHANGED") THEN b."RAW" ELSE n."RAW" END AS "RAW", CASE WHEN ARRAY_CONTAINS('at'::VARIANT, n."_ETL_UNCHANGED") THEN b."AT" ELSE n."AT" END AS "AT", n."_ETL_OP" AS "_ETL_ACT" FROM n LEFT JOIN "ETL_DB"."SHOP"."ORDERS" AS b ON b."ID" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'id')::VARCHAR::NUMBER(19,0) ELSE n."ID" END AND b."A ""B""" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'a "b"')::VARCHAR ELSE n."A ""B""" END
UNION ALL
SELECT m."ID" AS "ID", m."A ""B""" AS "A ""B""", NULL::NUMBER(12,2) AS "PRICE", NULL::ARRAY AS "TAGS", NULL::VARIANT AS "DOC", NULL::BINARY AS "RAW", NULL::TIMESTAMP_TZ(9) AS "AT", 'd' AS "_ETL_ACT" FROM m LEFT JOIN n ON n."ID" = m."ID" AND n."A ""B""" = m."A ""B""" WHERE n."ID" IS NULL
) AS s
ON t."ID" = s."ID" AND t."A ""B""" = s."A ""B"""
WHEN MATCHED AND s."_ETL_ACT" = 'd' THEN DELETE
WHEN MATCHED THEN UPDATE SET "PRICE" = s."PRICE", "TAGS" = s."TAGS", "DOC" = s."DOC", "RAW" = s."RAW", "AT" = s."AT"
WHEN NOT MATCHED AND s."_ETL_ACT" <> 'd' THEN INSERT ("ID", "A ""B""", "PRICE", "TAGS", "DOC", "RAW", "AT") VALUES (s."ID", s."A ""B""", s."PRICE", s."TAGS", s."DOC", s."RAW", s."AT");

MERGE INTO "ETL_DB"."SHOP"."ORDERS" AS t
USING (
WITH l AS (SELECT * FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" > ? AND "_ETL_SEQ" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1),
p AS (SELECT * FROM l WHERE l."_ETL_OP" <> 'd' QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1)
SELECT n."ID" AS "ID", n."A ""B""" AS "A ""B""", p."PRICE" AS "PRICE", p."TAGS"::ARRAY AS "TAGS", p."DOC"::VARIANT AS "DOC", p."RAW" AS "RAW", p."AT" AS "AT", n."_ETL_DELETED" AS "_ETL_DELETED", TO_BINARY(n."_ETL_SEQ", 'HEX') AS "_ETL_SEQ", CASE WHEN p."ID" IS NULL THEN 'd' ELSE 'u' END AS "_ETL_ACT" FROM n LEFT JOIN p ON n."ID" = p."ID" AND n."A ""B""" = p."A ""B"""
) AS s
ON t."ID" = s."ID" AND t."A ""B""" = s."A ""B"""
WHEN MATCHED AND s."_ETL_ACT" = 'd' THEN UPDATE SET "_ETL_DELETED" = s."_ETL_DELETED", "_ETL_SEQ" = s."_ETL_SEQ"
WHEN MATCHED THEN UPDATE SET "PRICE" = s."PRICE", "TAGS" = s."TAGS", "DOC" = s."DOC", "RAW" = s."RAW", "AT" = s."AT", "_ETL_DELETED" = s."_ETL_DELETED", "_ETL_SEQ" = s."_ETL_SEQ"
WHEN NOT MATCHED AND s."_ETL_ACT" <> 'd' THEN INSERT ("ID", "A ""B""", "PRICE", "TAGS", "DOC", "RAW", "AT", "_ETL_DELETED", "_ETL_SEQ") VALUES (s."ID", s."A ""B""", s."PRICE", s."TAGS", s."DOC", s."RAW", s."AT", s."_ETL_DELETED", s."_ETL_SEQ");

MERGE INTO "ETL_DB"."SHOP"."ORDERS" AS t
USING (
WITH l AS (SELECT * FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" > ? AND "_ETL_SEQ" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1),
m AS (SELECT DISTINCT GET(n."_ETL_OLD_KEY", 'id')::VARCHAR::NUMBER(19,0) AS "ID", GET(n."_ETL_OLD_KEY", 'a "b"')::VARCHAR AS "A ""B""" FROM n WHERE n."_ETL_OLD_KEY" IS NOT NULL)
SELECT n."ID" AS "ID", n."A ""B""" AS "A ""B""", CASE WHEN n."_ETL_OP" = 'd' OR ARRAY_CONTAINS('price'::VARIANT, n."_ETL_UNCHANGED") THEN b."PRICE" ELSE n."PRICE" END AS "PRICE", CASE WHEN n."_ETL_OP" = 'd' OR ARRAY_CONTAINS('tags'::VARIANT, n."_ETL_UNCHANGED") THEN b."TAGS" ELSE n."TAGS"::ARRAY END AS "TAGS", CASE WHEN n."_ETL_OP" = 'd' OR ARRAY_CONTAINS('doc'::VARIANT, n."_ETL_UNCHANGED") THEN b."DOC" ELSE n."DOC"::VARIANT END AS "DOC", CASE WHEN n."_ETL_OP" = 'd' OR ARRAY_CONTAINS('raw'::VARIANT, n."_ETL_UNCHANGED") THEN b."RAW" ELSE n."RAW" END AS "RAW", CASE WHEN n."_ETL_OP" = 'd' OR ARRAY_CONTAINS('at'::VARIANT, n."_ETL_UNCHANGED") THEN b."AT" ELSE n."AT" END AS "AT", n."_ETL_DELETED" AS "_ETL_DELETED", TO_BINARY(n."_ETL_SEQ", 'HEX') AS "_ETL_SEQ", CASE WHEN n."_ETL_OP" = 'd' AND b."ID" IS NULL THEN 'd' ELSE 'u' END AS "_ETL_ACT" FROM n LEFT JOIN "ETL_DB"."SHOP"."ORDERS" AS b ON b."ID" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'id')::VARCHAR::NUMBER(19,0) ELSE n."ID" END AND b."A ""B""" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'a "b"')::VARCHAR ELSE n."A ""B""" END
UNION ALL
SELECT m."ID" AS "ID", m."A ""B""" AS "A ""B""", NULL::NUMBER(12,2) AS "PRICE", NULL::ARRAY AS "TAGS", NULL::VARIANT AS "DOC", NULL::BINARY AS "RAW", NULL::TIMESTAMP_TZ(9) AS "AT", NULL::BOOLEAN AS "_ETL_DELETED", NULL::BINARY AS "_ETL_SEQ", 'd' AS "_ETL_ACT" FROM m LEFT JOIN n ON n."ID" = m."ID" AND n."A ""B""" = m."A ""B""" WHERE n."ID" IS NULL
) AS s
ON t."ID" = s."ID" AND t."A ""B""" = s."A ""B"""
WHEN MATCHED AND s."_ETL_ACT" = 'd' THEN DELETE
WHEN MATCHED THEN UPDATE SET "PRICE" = s."PRICE", "TAGS" = s."TAGS", "DOC" = s."DOC", "RAW" = s."RAW", "AT" = s."AT", "_ETL_DELETED" = s."_ETL_DELETED", "_ETL_SEQ" = s."_ETL_SEQ"
WHEN NOT MATCHED AND s."_ETL_ACT" <> 'd' THEN INSERT ("ID", "A ""B""", "PRICE", "TAGS", "DOC", "RAW", "AT", "_ETL_DELETED", "_ETL_SEQ") VALUES (s."ID", s."A ""B""", s."PRICE", s."TAGS", s."DOC", s."RAW", s."AT", s."_ETL_DELETED", s."_ETL_SEQ");

MERGE INTO "etl_db"."SHOP"."ORDERS" AS t
USING (
WITH l AS (SELECT * FROM "etl_db"."etl_landing"."LANDING_ORDERS" WHERE "_etl_seq" > ? AND "_etl_seq" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."id", l."a ""b""" ORDER BY l."_etl_seq" DESC) = 1),
m AS (SELECT DISTINCT GET(n."_etl_old_key", 'id')::VARCHAR::NUMBER(19,0) AS "id", GET(n."_etl_old_key", 'a "b"')::VARCHAR AS "a ""b""" FROM n WHERE n."_etl_old_key" IS NOT NULL)
SELECT n."id" AS "id", n."a ""b""" AS "a ""b""", CASE WHEN ARRAY_CONTAINS('price'::VARIANT, n."_etl_unchanged") THEN b."price" ELSE n."price" END AS "price", CASE WHEN ARRAY_CONTAINS('tags'::VARIANT, n."_etl_unchanged") THEN b."tags" ELSE n."tags"::ARRAY END AS "tags", CASE WHEN ARRAY_CONTAINS('doc'::VARIANT, n."_etl_unchanged") THEN b."doc" ELSE n."doc"::VARIANT END AS "doc", CASE WHEN ARRAY_CONTAINS('raw'::VARIANT, n."_etl_unchanged") THEN b."raw" ELSE n."raw" END AS "raw", CASE WHEN ARRAY_CONTAINS('at'::VARIANT, n."_etl_unchanged") THEN b."at" ELSE n."at" END AS "at", n."_etl_op" AS "_ETL_ACT" FROM n LEFT JOIN "etl_db"."SHOP"."ORDERS" AS b ON b."id" = CASE WHEN n."_etl_old_key" IS NOT NULL THEN GET(n."_etl_old_key", 'id')::VARCHAR::NUMBER(19,0) ELSE n."id" END AND b."a ""b""" = CASE WHEN n."_etl_old_key" IS NOT NULL THEN GET(n."_etl_old_key", 'a "b"')::VARCHAR ELSE n."a ""b""" END
UNION ALL
SELECT m."id" AS "id", m."a ""b""" AS "a ""b""", NULL::NUMBER(12,2) AS "price", NULL::ARRAY AS "tags", NULL::VARIANT AS "doc", NULL::BINARY AS "raw", NULL::TIMESTAMP_TZ(9) AS "at", 'd' AS "_ETL_ACT" FROM m LEFT JOIN n ON n."id" = m."id" AND n."a ""b""" = m."a ""b""" WHERE n."id" IS NULL
) AS s
ON t."id" = s."id" AND t."a ""b""" = s."a ""b"""
WHEN MATCHED AND s."_ETL_ACT" = 'd' THEN DELETE
WHEN MATCHED THEN UPDATE SET "price" = s."price", "tags" = s."tags", "doc" = s."doc", "raw" = s."raw", "at" = s."at"
WHEN NOT MATCHED AND s."_ETL_ACT" <> 'd' THEN INSERT ("id", "a ""b""", "price", "tags", "doc", "raw", "at") VALUES (s."id", s."a ""b""", s."price", s."tags", s."doc", s."raw", s."at");

WITH l AS (SELECT * FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" > ? AND "_ETL_SEQ" <= ?),
n AS (SELECT * FROM l QUALIFY ROW_NUMBER() OVER (PARTITION BY l."ID", l."A ""B""" ORDER BY l."_ETL_SEQ" DESC) = 1) SELECT n.* FROM n LEFT JOIN "ETL_DB"."SHOP"."ORDERS" AS b ON b."ID" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'id')::VARCHAR::NUMBER(19,0) ELSE n."ID" END AND b."A ""B""" = CASE WHEN n."_ETL_OLD_KEY" IS NOT NULL THEN GET(n."_ETL_OLD_KEY", 'a "b"')::VARCHAR ELSE n."A ""B""" END WHERE n."_ETL_OP" <> 'd' AND COALESCE(ARRAY_SIZE(n."_ETL_UNCHANGED"), 0) > 0 AND b."ID" IS NULL ORDER BY n."_ETL_SEQ";

DELETE FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" IN (?, ?);

DELETE FROM "ETL_DB"."ETL_LANDING"."LANDING_ORDERS" WHERE "_ETL_SEQ" <= ?;
