import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { loadJsonCopy } from '../../packages/kvar/src/copies/json-load.ts'
import { surveyCopy } from '../../packages/kvar/src/copies/json-survey.ts'
import { parseLtxHeader } from '../../packages/kvar/src/formats/ltx.ts'
import { decodeLtx, readLtx } from '../../packages/kvar/src/formats/ltx-decoder.ts'
import { scanWal, WAL_HEADER_BYTES, walFrameOffset } from '../../packages/kvar/src/formats/wal.ts'
import { listBranches, readBranch } from '../../packages/kvar/src/log/branches.ts'
import { readLineage } from '../../packages/kvar/src/log/lineage.ts'
import { branchMetaKey, LINEAGE_KEY } from '../../packages/kvar/src/log/log-layout.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { resolveSettings } from '../../packages/kvar/src/settings/settings.ts'
import { History } from '../support/log-history.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { mutated, mutatedText } from './fuzz-mutate.ts'
import { protocolParser, socketParser } from './fuzz-protocol.ts'
import { startParser, stateParser } from './fuzz-state.ts'
import type { Choices } from './proof-random.ts'

/** Something that reads what others wrote. */
export interface Parser {
  name: string
  /** Only every so manieth of the wanted mutations: it takes a disk, a process or a keeper. */
  every?: number
  /** Reads one mutation; false where it refuses by answering. Throws typed errors, or what is a bug. */
  run(choices: Choices): boolean | Promise<boolean>
  end?(): void | Promise<void>
}

export const PARSERS: Record<string, () => Parser | Promise<Parser>> = {
  wal: walParser,
  ltx: ltxParser,
  json: jsonParser,
  jsonLoad: jsonLoader,
  settings: settingsParser,
  lineage: lineageParser,
  branch: branchParser,
  state: stateParser,
  start: startParser,
  protocol: protocolParser,
  socket: socketParser,
}

/** A WAL of SQLite's own making; what is found in it has to lie in it. */
function walParser(): Parser {
  const original = walOfSqlite()
  const whole = scanWal(readerOf(original))
  if (whole === undefined) throw new Error('SQLite’s own WAL is not readable')
  return {
    name: 'wal',
    run(choices) {
      const bytes = mutated(original, choices)
      const scan = scanWal(readerOf(bytes), choices.chance(0.5) ? whole.position : undefined)
      if (scan === undefined) return false
      const { pageSize } = scan.header
      const endBytes = walFrameOffset(pageSize, scan.position.frameCount)
      const offsets = [...scan.pages.values()]
      if (!scan.continued && endBytes > Math.max(bytes.length, WAL_HEADER_BYTES))
        throw new Error('it ends beyond its end')
      if (offsets.some((offset) => offset + pageSize > endBytes))
        throw new Error('a page lies beyond the end')
      return true
    },
  }
}

function walOfSqlite(): Uint8Array {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-fuzz-'))
  try {
    const path = join(folder, 'app.db')
    const database = new DatabaseSync(path)
    database.exec('PRAGMA page_size=512; PRAGMA journal_mode=WAL; CREATE TABLE t(a)')
    for (let n = 0; n < 4; n++) database.exec(`INSERT INTO t VALUES (hex(randomblob(${n * 200})))`)
    const wal = new Uint8Array(fs.readFileSync(`${path}-wal`))
    database.close()
    return wal
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
}

function readerOf(bytes: Uint8Array) {
  return (buffer: Uint8Array, offset: number) => {
    const part = bytes.subarray(offset, offset + buffer.length)
    buffer.set(part)
    return part.length
  }
}

/** Version files, whole and in pieces; what is accepted must hold the very same. */
function ltxParser(): Parser {
  const history = new History({ seed: 7 }).grow(6)
  const originals = history.cuts.map(({ version }) => history.bytes(version))
  const contents = originals.map((bytes) => JSON.stringify([...decodeLtx(bytes, 'original').pages]))
  return {
    name: 'ltx',
    async run(choices) {
      const index = choices.between(0, originals.length - 1)
      const bytes = mutated(originals[index] as Uint8Array, choices)
      parseLtxHeader(bytes, 'mutated')
      if (choices.chance(0.3)) await readLtx(inPieces(bytes, choices), 'mutated', {})
      const { pages } = decodeLtx(bytes, 'mutated')
      if (JSON.stringify([...pages]) !== contents[index]) throw new Error('other pages were accepted')
      return true
    },
  }
}

function* inPieces(bytes: Uint8Array, choices: Choices): Generator<Uint8Array> {
  for (let offset = 0; offset < bytes.length; ) {
    const length = choices.between(0, 200)
    yield bytes.subarray(offset, offset + length)
    offset += length
  }
}

const JSON_COPY = JSON.stringify(
  {
    backup_time: '2026-11-23T10:15:30.123+00:00',
    events: [
      { id: 1, user: 'Annika', title: 'Simskola', hours: 1.5, icon: { $blob: 'AAEC/w==' }, note: null },
      {
        id: 2,
        user: 'Björn',
        title: '\u0001"\\',
        hours: -2e-7,
        icon: { $text: '/w==' },
        note: 1,
      },
    ],
    kvar: {
      ...{ format: 1, lineage: '00000000feedface', version: 12, time: '2026-11-23T10:15:30.123+00:00' },
      schema: [
        'CREATE TABLE events(id INTEGER PRIMARY KEY AUTOINCREMENT, user, title, hours, icon, note)',
        'CREATE TABLE kvar(a)',
      ],
      ...{ sequences: { events: 2 }, skipped: [], rowids: { kvar: [[1, 1]] } },
      pragmas: {
        ...{ user_version: 3, application_id: 0, encoding: 'UTF-8' },
        ...{ page_size: 4096, auto_vacuum: 0, journal_mode: 'wal' },
      },
      tables: { kvar: [{ a: { $real: 'Infinity' } }] },
    },
  },
  undefined,
  2,
).replace('"id": 2', '"id": 9007199254740993')

function jsonParser(): Parser {
  return {
    name: 'json',
    async run(choices) {
      const bytes = Buffer.from(mutatedText(JSON_COPY, choices))
      const file = { ...NO_FILE, readSync: readerOf(bytes) }
      await surveyCopy(file, systemPlatform, { table: undefined, row: undefined, column: undefined })
      return true
    },
  }
}

const refuse = () => {
  throw new Error('a reader does more than reading')
}
const NO_FILE = {
  ...{ writeSync: refuse, truncateSync: refuse, factsSync: refuse },
  ...{ sync: refuse, syncSync: refuse, closeSync: refuse },
}

/** The whole way into a new database: nothing may stay of a file that is refused. */
function jsonLoader(): Parser {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-fuzz-'))
  const [jsonPath, databasePath] = [join(folder, 'app.db.json'), join(folder, 'new.db')]
  return {
    name: 'json load',
    every: 100,
    async run(choices) {
      fs.writeFileSync(jsonPath, mutatedText(JSON_COPY, choices))
      try {
        await loadJsonCopy({ jsonPath, databasePath, platform: systemPlatform })
        fs.rmSync(databasePath)
        return true
      } finally {
        const left = fs.readdirSync(folder).filter((name) => name !== 'app.db.json')
        for (const name of left) fs.rmSync(join(folder, name))
        if (left.length > 0) refuseLeftovers(left)
      }
    },
    end: () => fs.rmSync(folder, { recursive: true }),
  }
}

function refuseLeftovers(names: string[]): never {
  throw new Error(`a refused file left ${names.join(', ')}`)
}

const CONFIG = JSON.stringify({
  ...{ database: './app.db', targets: ['folder:./backup', 's3://bucket/app?region=eu-north-1'] },
  ...{ ledger: 'folder:./backup', durable: 'all', copies: ['json'], interval: '2s', startTimeout: '30s' },
  ...{ keep: { all: '7d', monthly: 'forever' }, limits: { pendingBytes: 67108864 }, metricsPort: 9187 },
  ...{ alarm: ['ntfy:https://ntfy.example/our-calendar'], alarmAfter: '5m', logLevel: 'warn' },
})
const VARIABLES: Record<string, string> = {
  KVAR_TARGETS:
    'webdavs://anna@cloud.example.com/dav/app postgres://anna@db.example.com:5432/app?schema=kvar',
  KVAR_KEEP: 'all=7d,hourly=30d,daily=1y,monthly=forever',
  KVAR_INTERVAL: '250ms',
  KVAR_COPIES: 'json,backup',
  KVAR_ALARM: 'webhook:https://hooks.example/T1 command:/usr/local/bin/tell',
  KVAR_METRICS_PORT: '9187',
}

function settingsParser(): Parser {
  return {
    name: 'settings',
    run(choices) {
      const environment = { ...VARIABLES, KVAR_POSTGRES_PASSWORD: 'pw', HOME: '/home/anna' }
      const names = Object.keys(VARIABLES)
      for (const name of choices.some(names)) delete (environment as Record<string, string>)[name]
      const name = choices.pick(names)
      const changed = { ...environment, [name]: mutatedText(VARIABLES[name] as string, choices) }
      const text = choices.chance(0.6) ? mutatedText(CONFIG, choices) : CONFIG
      const configFile = { path: '/srv/app/kvar.config.json', text }
      resolveSettings({ options: {}, environment: changed, configFile, workingFolder: '/srv' })
      return true
    },
  }
}

const LINEAGE = JSON.stringify({
  format: 1,
  lineage: '00000000feedface',
  createdAt: '2026-11-23T10:15:30.123Z',
})

function lineageParser(): Parser {
  return {
    name: 'lineage',
    async run(choices) {
      const { lineage } = (await readLineage(holding(LINEAGE_KEY, mutatedText(LINEAGE, choices)))) ?? {}
      if (!/^[0-9a-f]{16}$/.test(lineage ?? '')) throw new Error(`the lineage ${lineage} was accepted`)
      return true
    },
  }
}

const BRANCH_ID = '000000000000000c-00000000feedbeef'
const BRANCH = JSON.stringify({
  ...{
    format: 1,
    id: BRANCH_ID,
    lineage: '00000000feedface',
    reason: 'diverged',
    baseVersion: 12,
    headVersion: 1,
  },
  ...{ createdAt: '2026-11-23T10:15:30.123Z', databaseChecksum: '00000000feedbeef' },
  ...{ keepUntil: '2027-02-21T10:15:30.123Z', host: 'kitchen' },
})

/** Dates decide when a branch goes, so one that is none must not be accepted. */
function branchParser(): Parser {
  return {
    name: 'branch',
    async run(choices) {
      const target = holding(branchMetaKey(BRANCH_ID), mutatedText(BRANCH, choices))
      const branch = await readBranch(target, BRANCH_ID)
      await listBranches(target)
      for (const time of [branch?.createdAt, branch?.keepUntil])
        if (Number.isNaN(Date.parse(time ?? ''))) throw new Error(`the time ${time} was accepted`)
      if (!((branch?.headVersion ?? 0) >= 1)) throw new Error(`the head ${branch?.headVersion} was accepted`)
      return true
    },
  }
}

function holding(key: string, text: string): MemoryTarget {
  const target = new MemoryTarget()
  target.objects.set(key, { bytes: Buffer.from(text), modifiedAtMs: 0 })
  return target
}
