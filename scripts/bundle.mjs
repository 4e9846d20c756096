// Puts each compiled program and its packages into few files: node starts it in half the time.
// Plain JavaScript: it is a step of the build.
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** The programs and, beside them, the threads that they start by their file's name. */
const PROGRAMS = {
  cli: { index: 'index' },
  agent: { index: 'index' },
  relay: {
    index: 'index',
    'embedded-worker': 'store/embedded-worker',
    worker: 'protocols/postgres/analysis/worker',
  },
}

/**
 * Packages with WebAssembly or machine code beside them, and what a library asks for only where it is installed. The client of
 * S3 is read only where records go to a bucket, and exports what esbuild cannot see.
 */
const LEFT_OUT = [
  '@electric-sql/pglite',
  'libpg-query',
  '@aws-sdk/client-s3',
  'keytar',
  'msgpackr-extract',
  'bufferutil',
  'utf-8-validate',
  'pg-native',
  'cloudflare:sockets',
  'react-devtools-core',
]

/** A package of which only a part is wanted: `undici` and nothing under it. */
const smallUndici = {
  name: 'undici',
  setup: ({ onResolve }) => {
    onResolve({ filter: /^undici$/ }, () => ({ path: fileURLToPath(new URL('undici.mjs', import.meta.url)) }))
  },
}

/** CommonJS packages in an ES module ask for node's own modules by `require`. */
const REQUIRE =
  "import { createRequire as bundleRequire } from 'node:module'; const require = bundleRequire(import.meta.url);"

/** As later versions of node say it themselves: pg asks where it runs, and else finds out by making a Response, with all of fetch. */
const NAVIGATOR = JSON.stringify({ userAgent: 'Node.js' })

/** When the newest file of a folder was written, without the bundle that is made of them. */
function newest(folder) {
  const times = readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(entry => entry.isFile() && entry.name.endsWith('.js') && !entry.parentPath.endsWith('bundle'))
    .map(entry => statSync(join(entry.parentPath, entry.name)).mtimeMs)
  return Math.max(0, ...times)
}

/** Whether nothing that a bundle was made of has changed since: programs that start meanwhile should not find half of it. */
function isCurrent(program, outdir) {
  const made = join(outdir, 'index.js')
  const sources = [
    newest(join(root, program, 'dist')),
    newest(join(root, 'shared', 'dist')),
    statSync(join(root, 'package-lock.json')).mtimeMs,
    ...['bundle.mjs', 'undici.mjs'].map(file => statSync(join(root, 'scripts', file)).mtimeMs),
  ]
  return existsSync(made) && statSync(made).mtimeMs > Math.max(...sources)
}

for (const [program, files] of Object.entries(PROGRAMS)) {
  const compiled = join(root, program, 'dist')
  const outdir = join(compiled, 'bundle')
  if (isCurrent(program, outdir)) continue
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: Object.entries(files).map(([out, file]) => ({ in: join(compiled, `${file}.js`), out })),
    outdir,
    bundle: true,
    // What a command needs alone, such as the terminal's pictures, is read when it is asked for.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    external: LEFT_OUT,
    define: { 'process.env.NODE_ENV': '"production"', navigator: NAVIGATOR },
    banner: { js: REQUIRE },
    sourcemap: 'linked',
    plugins: [smallUndici],
    metafile: true,
    logLevel: 'warning',
  })
  // Names of parts have a hash of what they hold: those of earlier builds would stay for ever.
  const written = new Set(Object.keys(metafile.outputs).map(file => join(root, file)))
  for (const name of readdirSync(outdir)) if (!written.has(join(outdir, name))) rmSync(join(outdir, name))
}
