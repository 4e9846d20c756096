-- The sample shop: 12,000 customers, their cards and orders, the users of the back office, and keys of other services.
-- Nothing is random, so every demo has the same rows. All people, cards and keys are invented.

CREATE TABLE customers (
  id         integer PRIMARY KEY,
  name       text NOT NULL,
  email      text NOT NULL UNIQUE,
  country    text NOT NULL,
  created_at timestamptz NOT NULL
);

CREATE TABLE cards (
  id          integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers,
  holder      text NOT NULL,
  number      text NOT NULL,
  expiry      text NOT NULL
);

CREATE TABLE orders (
  id          integer PRIMARY KEY,
  customer_id integer NOT NULL REFERENCES customers,
  item        text NOT NULL,
  amount      numeric(10, 2) NOT NULL,
  status      text NOT NULL,
  ordered_at  timestamptz NOT NULL
);

CREATE TABLE users (
  id            integer PRIMARY KEY,
  login         text NOT NULL UNIQUE,
  role          text NOT NULL,
  password_hash text NOT NULL
);

CREATE TABLE api_keys (
  id      integer PRIMARY KEY,
  service text NOT NULL,
  key     text NOT NULL
);

INSERT INTO customers
SELECT i,
       first || ' ' || last,
       lower(first || '.' || last) || i || '@' || domain,
       country,
       timestamptz '2021-03-01 08:00:00+00' + i * interval '3 hours 17 minutes 11 seconds'
FROM generate_series(1, 12000) AS i,
     LATERAL (SELECT
       (ARRAY['Liam','Nora','Mateo','Aiko','Lena','Omar','Ines','Jonas','Priya','Hugo','Zoe','Tomas','Maya','Felix',
              'Amara','Luca','Freya','Diego','Elif','Noah','Sana','Oscar','Clara','Kofi','Ida','Ravi','Alma'])[1 + i * 7 % 27] AS first,
       (ARRAY['Novak','Silva','Tanaka','Berg','Okafor','Meyer','Rossi','Dubois','Kaya','Lopez','Jensen','Iyer','Brown',
              'Costa','Fischer','Haddad','Moreau','Nagy','Olsen','Park','Quinn','Reyes','Sato','Toth','Vega'])[1 + i * 11 % 25] AS last,
       (ARRAY['mail.example','post.example.com','inbox.example.org','letters.example.net'])[1 + i % 4] AS domain,
       (ARRAY['DE','BR','JP','NG','FR','IT','TR','MX','DK','IN','US','PT','LB','HU','NO','KR','IE'])[1 + i * 5 % 17] AS country) AS made;

-- Sixteen digits of which the last one is the check digit that card numbers have (Luhn).
INSERT INTO cards
SELECT id, id, upper(name), digits || (10 - checksum % 10) % 10, lpad((1 + id % 12)::text, 2, '0') || '/' || 27 + id % 5
FROM customers,
     LATERAL (SELECT '4' || lpad((id * 7919 % 10000)::text, 4, '0') || lpad((id::bigint * 982451653 % 10000000000)::text, 10, '0') AS digits) AS made,
     LATERAL (SELECT sum(CASE WHEN at % 2 = 0 THEN digit ELSE digit * 2 / 10 + digit * 2 % 10 END) AS checksum
              FROM generate_series(1, 15) AS at, LATERAL (SELECT substr(digits, at, 1)::integer AS digit) AS one) AS checked
WHERE id % 4 <> 0;

INSERT INTO orders
SELECT i,
       1 + i::bigint * 7919 % 12000,
       (ARRAY['tea pot','desk lamp','rain coat','chess set','bread knife','wool blanket','garden chair','travel mug'])[1 + i * 3 % 8],
       (900 + i::bigint * 6151 % 24000) / 100.0,
       (ARRAY['delivered','delivered','delivered','shipped','paid','returned'])[1 + i * 5 % 6],
       timestamptz '2023-01-01 06:30:00+00' + i * interval '1 hour 13 minutes'
FROM generate_series(1, 20000) AS i;

INSERT INTO users
SELECT i,
       lower(substr(name, 1, 1) || split_part(name, ' ', 2)) || i,
       (ARRAY['clerk','clerk','clerk','manager','auditor'])[1 + i % 5],
       '$2b$12$' || substr(translate(encode(sha256(('user ' || i)::bytea), 'base64'), '+=', './') || md5('salt ' || i), 1, 53)
FROM generate_series(1, 200) AS i JOIN customers ON customers.id = i * 37;

INSERT INTO api_keys
SELECT i, service, 'key_live_' || substr(encode(sha256(('service ' || service)::bytea), 'hex'), 1, 40)
FROM unnest(ARRAY['payments','mail','maps','search','shipping','invoices','backups','fraud']) WITH ORDINALITY AS made (service, i);

-- The agent logs in as an ordinary role that may work with the rows and nothing else.
REVOKE ALL ON DATABASE shop FROM PUBLIC;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT CONNECT ON DATABASE shop TO gate;
GRANT USAGE ON SCHEMA public TO gate;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO gate;

ANALYZE;
