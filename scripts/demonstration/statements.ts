// The statements of the story: what people are told to type is what --check proves.
export const statements = {
  masked: 'SELECT id, name, email, country FROM customers ORDER BY id LIMIT 4',
  cards: 'SELECT holder, number, expiry FROM cards ORDER BY id LIMIT 4',
  hashes: 'SELECT login, role, password_hash FROM users ORDER BY id LIMIT 3',
  keys: 'SELECT service, key FROM api_keys ORDER BY id LIMIT 3',
  computed: 'SELECT upper(email) FROM customers LIMIT 1',
  copied: 'COPY customers (id, email) TO STDOUT',
  drop: 'DROP TABLE customers',
  small: "UPDATE orders SET status = 'shipped' WHERE id = 1",
  wide: 'DELETE FROM orders',
  another: 'DELETE FROM cards',
  sleep: 'SELECT pg_sleep(60)',
} as const
