import { cpus, totalmem } from 'node:os'
import { benchStart } from './start.ts'

/** Runs the benches whose names are given, or all of them, and prints one line each. */
const BENCHES: Record<string, () => Promise<string>> = { start: benchStart }

const chosen = process.argv.slice(2)
const unknown = chosen.filter((name) => !(name in BENCHES))
if (unknown.length > 0) {
  console.error(
    `error: There is no bench called "${unknown.join('", "')}"\nhint: take one of ${Object.keys(BENCHES).join(', ')}`,
  )
  process.exit(2)
}

console.log(
  `${cpus().length} × ${cpus()[0]?.model ?? 'unknown processor'}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version}`,
)
for (const [name, run] of Object.entries(BENCHES)) {
  if (chosen.length === 0 || chosen.includes(name)) console.log(`${name}: ${await run()}`)
}
