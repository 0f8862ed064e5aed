-- The rows it opens with; :customers, :products and :orders are numbers.

INSERT INTO customers (id, name, email, tier, active, score, born, address, tags)
SELECT n, 'Customer ' || n, CASE WHEN n % 10 > 0 THEN 'c' || n || '@example.org' END,
       (ARRAY['bronze', 'silver', 'gold'])[1 + n % 3]::tier, n % 7 > 0,
       CASE n % 50 WHEN 0 THEN 'NaN' WHEN 1 THEN '-Infinity' WHEN 2 THEN NULL ELSE n / 7.0 END,
       date '1950-01-01' + n % 20000,
       jsonb_build_object('city', 'City ' || n % 100, 'zip', n % 99999, 'unicode', 'Žluťoučký kůň 🐎'),
       CASE WHEN n % 4 > 0 THEN ARRAY['t' || n % 5, NULL, 'with "quotes", {braces} and \'] END
FROM generate_series(1, :customers) n;

INSERT INTO products (sku, title, price, weight, dimensions, picture, details, description, released)
SELECT 'SKU-' || n, 'Product ' || n || E'\t\n', n * 1.25, n / 3.0::real, ARRAY[n, n * 2, NULL],
       decode(md5(n::text), 'hex'), json_build_object('no', n, 'big', 12345678901234567890.123),
       (SELECT string_agg(md5(n::text || i), '') FROM generate_series(1, 300) i),
       timestamp '2020-01-01 00:00:00.000001' + n * interval '1 hour'
FROM generate_series(1, :products) n;

INSERT INTO orders (id, customer_id, placed_at, total, note, deliver_in, deliver_at)
SELECT n, 1 + n % :customers, timestamptz '2024-01-01 00:00:00+02' + n * interval '61.000001 seconds',
       n * 0.99, CASE WHEN n % 3 > 0 THEN repeat('note ', n % 9) END,
       make_interval(months => n % 14, days => n % 40, secs => n / 8.0), time '08:00' + n * interval '1 second'
FROM generate_series(1, :orders) n;

INSERT INTO order_items (order_id, line, sku, quantity, price)
SELECT n, line, 'SKU-' || 1 + (n + line) % :products, 1 + n % 5, n * 0.33
FROM generate_series(1, :orders) n, generate_series(1, 2) line;

INSERT INTO "Odd ""Names"""
SELECT n, 'k' || n % 10, n / 7.0, ('10.0.' || n % 256 || '.1/24')::inet, int4range(n, n + 10), NULL
FROM generate_series(1, 100) n;
