// What the three of them see of the same rows, and what is refused because it would show more.
import { type Cast, said } from './actor.ts'
import { hasAll } from './check-arrival.ts'
import { statements } from './statements.ts'

export async function look(cast: Cast): Promise<void> {
  const secrets = await readSecrets(cast)
  await seeMasked(cast, secrets)
  await seeClear(cast)
  await tryToCompute(cast, secrets)
  await support(cast, secrets)
}

interface Secrets {
  readonly all: readonly string[]
  readonly firstEmail: string
}

/** Every value that is masked, read past gate: whole, and addresses also without their domain. */
async function readSecrets({ world }: Cast): Promise<Secrets> {
  const rows = await world.postgres.query(
    `SELECT email FROM customers UNION ALL SELECT split_part(email, '@', 1) FROM customers UNION ALL SELECT number FROM cards
     UNION ALL SELECT password_hash FROM users UNION ALL SELECT key FROM api_keys`,
    'shop',
  )
  const [[firstEmail = ''] = []] = await world.postgres.query('SELECT email FROM customers ORDER BY id LIMIT 1', 'shop')
  return { all: rows.flat(), firstEmail }
}

const leaks = (text: string, { all }: Secrets): boolean => all.some(secret => text.includes(secret))

async function seeMasked(cast: Cast, secrets: Secrets): Promise<void> {
  const { report, alice } = cast
  await report.step(`alice reads customers with ${cast.world.client.description}`, async step => {
    const rows = await alice.sql(step, statements.masked)
    step.must(
      'four rows come back, with names',
      rows.code === 0 && rows.stdout.includes('(4 rows)') && /\w+ \w+/.test(rows.stdout),
    )
    step.must('addresses are masked', (rows.stdout.match(/\w\*\*\*@\*\*\*\.(example|com|org|net)/g) ?? []).length === 4)
    const count = secrets.all.length.toLocaleString('en')
    step.must(`none of the ${count} clear values of the database is anywhere in it`, !leaks(said(rows), secrets))
    cast.remember(alice, '✓', statements.masked)
  })
  await report.step('alice reads cards, password hashes and keys', async step => {
    const all = [statements.cards, statements.hashes, statements.keys]
    const rows = await alice.sql(step, ...all)
    const cards = rows.stdout.match(/\*{4} \*{4} \*{4} \d{4}/g) ?? []
    step.must('of card numbers only the last four digits are left', rows.code === 0 && cards.length === 4)
    step.must('of hashes and keys nothing is', (rows.stdout.match(/\| \*{4}$/gm) ?? []).length === 6)
    step.must('no clear value is anywhere in it', !leaks(said(rows), secrets))
    cast.remember(alice, '✓', ...all)
  })
}

async function seeClear(cast: Cast): Promise<void> {
  const { report, bob } = cast
  await report.step('bob, who is a dba, reads the same', async step => {
    const rows = await bob.sql(step, statements.masked, statements.keys)
    const clear = await cast.world.postgres.query(`SELECT email FROM (${statements.masked}) AS seen`, 'shop')
    const keys = await cast.world.postgres.query(`SELECT key FROM (${statements.keys}) AS seen`, 'shop')
    step.must('he sees every value as it is', rows.code === 0 && hasAll(rows.stdout, [...clear.flat(), ...keys.flat()]))
    cast.remember(bob, '✓', statements.masked, statements.keys)
  })
}

async function tryToCompute(cast: Cast, secrets: Secrets): Promise<void> {
  const { report, alice, bob } = cast
  await report.step('alice sends a masked column through a function, a condition and COPY', async step => {
    const condition = `SELECT id FROM customers WHERE email LIKE '${secrets.firstEmail.slice(0, 5)}%'`
    const tried = [statements.computed, condition, statements.copied]
    for (const sql of tried) {
      const refused = await alice.sql(step, sql)
      step.must(
        'it is refused with SQLSTATE 42501, and nothing comes back',
        refused.stderr.includes('42501') && refused.stdout === '',
      )
      step.must('no clear value is anywhere in it', !leaks(said(refused).replaceAll(condition, ''), secrets))
    }
    const [first = ''] = tried
    const explained = said(await alice.sql(step, first))
    step.must(
      'it says what it is about, and what to do instead',
      hasAll(explained, ['public.customers.email is masked', 'computed', 'HINT:', 'Select masked columns as they are']),
    )
    cast.remember(alice, '✗', ...tried, first)
  })
  await report.step('bob does the same', async step => {
    const rows = await bob.sql(step, statements.computed)
    step.must('for him nothing is masked, so it runs', rows.code === 0 && /[A-Z]+\.[A-Z]+\d+@/.test(rows.stdout))
    cast.remember(bob, '✓', statements.computed)
  })
}

async function support(cast: Cast, secrets: Secrets): Promise<void> {
  const { report, carol } = cast
  await report.step('carol, who is in support, reads and then tries to write', async step => {
    const rows = await carol.sql(step, statements.masked)
    step.must(
      'she reads, and addresses are masked',
      rows.code === 0 && rows.stdout.includes('***@***') && !leaks(said(rows), secrets),
    )
    const before = await cast.direct('SELECT status FROM orders WHERE id = 1')
    const refused = await carol.sql(step, statements.small)
    step.must('she may not write: no rule lets her', hasAll(refused.stderr, ['42501', 'no rule lets you update']))
    step.must(
      'PostgreSQL itself says that nothing was changed',
      (await cast.direct('SELECT status FROM orders WHERE id = 1')) === before,
    )
    cast.remember(carol, '✓', statements.masked)
    cast.remember(carol, '✗', statements.small)
  })
}
