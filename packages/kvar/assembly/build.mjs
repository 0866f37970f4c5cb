import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

// Compiles page-codec.ts to WebAssembly and embeds it in src/formats/page-codec-wasm.ts, which is
// committed: nobody who installs or builds the library needs the compiler. With --check it only
// compares. The compiler is pinned, so the same source gives the same bytes.

const SOURCE = fileURLToPath(new URL('page-codec.ts', import.meta.url))
const PRODUCT = fileURLToPath(new URL('../src/formats/page-codec-wasm.ts', import.meta.url))
const COMPILER = fileURLToPath(new URL('../../../node_modules/assemblyscript/bin/asc.js', import.meta.url))
const FLAGS = ['-O3', '--noAssert', '--runtime', 'stub', '--use', 'abort=', '--enable', 'simd']
const LINE_LENGTH = 100

const text = embed(compile())
if (!process.argv.includes('--check')) writeFileSync(PRODUCT, text)
else if (readFileSync(PRODUCT, 'utf8') !== text) {
  console.error(
    'error: page-codec-wasm.ts was not made from page-codec.ts\nhint: run node packages/kvar/assembly/build.mjs',
  )
  process.exit(1)
}

function compile() {
  const folder = mkdtempSync(join(tmpdir(), 'kvar-wasm-'))
  try {
    const product = join(folder, 'page-codec.wasm')
    const { status } = spawnSync(process.execPath, [COMPILER, SOURCE, '-o', product, ...FLAGS], {
      stdio: 'inherit',
    })
    if (status !== 0) process.exit(1)
    return readFileSync(product)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** @param {Buffer} wasm */
function embed(wasm) {
  const source = createHash('sha256').update(readFileSync(SOURCE)).digest('hex')
  const lines = wasm.toString('base64').match(new RegExp(`.{1,${LINE_LENGTH}}`, 'g')) ?? []
  const quoted = lines.map((line) => `  '${line}',`).join('\n')
  return `// Made from assembly/page-codec.ts by assembly/build.mjs: change that and run it again.

/** The source this was made from; a test compares. */
export const SOURCE_SHA256 = '${source}'

export const PAGE_CODEC_WASM = [
${quoted}
].join('')
`
}
