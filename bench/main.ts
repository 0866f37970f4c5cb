import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { changeCost } from './rows/a-change-cost.ts'
import { confirm } from './rows/b-confirm.ts'
import { throughput } from './rows/c-throughput.ts'
import { restore } from './rows/d-restore.ts'
import { idle } from './rows/e-idle.ts'
import { stored } from './rows/f-stored.ts'
import { wipedBoot } from './rows/g-wiped-boot.ts'
import { large } from './rows/h-large.ts'
import { loss } from './rows/loss.ts'
import { s3 } from './rows/s3.ts'
import { start } from './rows/start.ts'
import type { Row } from './support/figure.ts'
import { describeMachine } from './support/machine.ts'
import { keepResult, tableOf } from './support/report.ts'

/** Runs the rows whose names are given, or all of them; see README.md for what each one asks. */
const ROWS: Row[] = [
  changeCost,
  confirm,
  throughput,
  restore,
  idle,
  stored,
  wipedBoot,
  large,
  loss,
  s3,
  start,
]

const RESULTS = fileURLToPath(new URL('results', import.meta.url))
const CACHE = join(tmpdir(), 'kvar-bench-cache')

const words = process.argv.slice(2)
const quick = words.includes('--quick')
const keep = words.includes('--keep')
const names = words.filter((word) => !word.startsWith('--'))
const unknown = [
  ...names.filter((name) => !ROWS.some((row) => row.name === name)),
  ...words.filter((word) => word.startsWith('--') && word !== '--quick' && word !== '--keep'),
]
if (unknown.length > 0) {
  const known = ROWS.map((row) => row.name).join(', ')
  console.error(
    `error: There is no bench "${unknown.join('", "')}"\nhint: take some of ${known}, and --quick or --keep`,
  )
  process.exit(2)
}

try {
  for (const row of ROWS) if (names.length === 0 || names.includes(row.name)) await runRow(row)
} finally {
  if (!keep) await rm(CACHE, { recursive: true, force: true })
}

async function runRow(row: Row): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), `kvar-bench-${row.name}-`))
  try {
    const machine = describeMachine(folder)
    const begunMs = performance.now()
    const tell = (sentence: string) => process.stderr.write(`  ${row.name}: ${sentence}\n`)
    const figures = await row.run({ quick, folder, cacheFolder: CACHE, tell })
    const tookSeconds = Math.round((performance.now() - begunMs) / 1000)
    const { name, question } = row
    const command = `npm run bench -- ${name}${quick ? ' --quick' : ''}`
    const date = new Date().toISOString()
    const path = keepResult(RESULTS, {
      row: name,
      question,
      date,
      quick,
      command,
      machine,
      tookSeconds,
      figures,
    })
    const { processor, cores, memoryGiB, node, disk, loadBefore } = machine
    console.log(
      `\n${name}. ${question}  (${cores} × ${processor}, ${memoryGiB} GiB, ${disk}, Node ${node}, load ${loadBefore.toFixed(1)} before)`,
    )
    console.log(`${tableOf(figures)}\n→ ${path}`)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
