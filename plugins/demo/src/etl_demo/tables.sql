-- The tables of the shop: common types, and names that have to be quoted.

CREATE TYPE tier AS ENUM ('bronze', 'silver', 'gold');
CREATE DOMAIN quantity AS integer CHECK (VALUE > 0);

CREATE TABLE customers (
    id          bigint PRIMARY KEY,
    public_id   uuid NOT NULL DEFAULT gen_random_uuid(),
    name        text NOT NULL,
    email       varchar(120),
    tier        tier NOT NULL DEFAULT 'bronze',
    active      boolean NOT NULL DEFAULT true,
    score       double precision,
    born        date,
    address     jsonb,
    tags        text[],
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE products (
    sku          text PRIMARY KEY,
    title        text NOT NULL,
    price        numeric(12,2) NOT NULL,
    weight       real,
    dimensions   integer[],
    picture      bytea,
    details      json,
    description  text,
    released     timestamp
);
ALTER TABLE products ALTER description SET STORAGE EXTERNAL;
CREATE TABLE orders (
    id           bigint PRIMARY KEY,
    customer_id  bigint NOT NULL,
    placed_at    timestamptz NOT NULL DEFAULT now(),
    total        numeric(14,2) NOT NULL,
    note         text,
    deliver_in   interval,
    deliver_at   time
);
CREATE TABLE order_items (
    order_id  bigint,
    line      smallint,
    sku       text NOT NULL,
    quantity  quantity NOT NULL,
    price     numeric(12,2) NOT NULL,
    PRIMARY KEY (order_id, line)
);
CREATE TABLE "Odd ""Names""" (
    "Key Part"  integer,
    "select"    char(3),
    "größe.cm"  numeric,
    "it's"      inet,
    "range"     int4range,
    "nothing"   text,
    PRIMARY KEY ("Key Part", "select")
);
