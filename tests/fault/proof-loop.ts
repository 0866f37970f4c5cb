import { Violation, type ViolationKind } from './proof-model.ts'
import { hasCommandLine } from './proof-product.ts'
import { Choices } from './proof-random.ts'
import { type LedgerPlace, Site, type SiteKind } from './proof-site.ts'

export interface LoopOptions {
  rounds: number
  seed: number
  /** Only sites of this kind: `node`, `python`, `wal`, `delete` or `truncate`; all when left out. */
  only?: string | undefined
  /** Where each site's ledger lies, a fresh place each time; a folder when left out. */
  place?: (() => LedgerPlace) | undefined
}

export interface LoopResult {
  name: string
  options: LoopOptions
  violations: number
  /** The last line: seed and counts. */
  sentence: string
}

/** One way to treat a site, and what it counts. */
export interface Loop {
  name: string
  roundsPerSite: number
  /** One round, from whatever state the former one left the site in. */
  round(site: Site, choices: Choices, round: number): Promise<void>
  /** Brings the site to rest after its last round, and looks at all of it. */
  finish(site: Site): Promise<void>
  counts: Record<string, number>
}

const KINDS: SiteKind[] = [
  { app: 'node', journalMode: 'wal' },
  { app: 'python', journalMode: 'delete' },
  { app: 'node', journalMode: 'delete' },
  { app: 'python', journalMode: 'wal' },
  { app: 'node', journalMode: 'truncate' },
]
/** A loop that fails again and again says nothing new. */
const VIOLATION_LIMIT = 10

/** Runs a loop over as many sites as its rounds need; a violation ends its site, whose folders then stay. */
export async function runLoop(loop: Loop, options: LoopOptions): Promise<LoopResult> {
  const begunMs = Date.now()
  const found: Record<ViolationKind, number> = { lost: 0, foreign: 0, damaged: 0, stuck: 0 }
  const sums = { asked: 0, acknowledged: 0, refused: 0 }
  let violations = 0
  let round = 0
  for (let index = 0; round < options.rounds && violations < VIOLATION_LIMIT; index++) {
    const choices = new Choices(options.seed, loop.name, 'site', index)
    const site = new Site(kindOf(index, options.only), choices, options.place?.())
    const last = Math.min(options.rounds, round + loop.roundsPerSite)
    let violation: Error | undefined
    try {
      for (; round < last; round++) {
        site.note(`round ${round}`)
        await loop.round(site, new Choices(options.seed, loop.name, 'round', round), round)
      }
      await loop.finish(site)
    } catch (thrown) {
      violation = thrown as Error
      violations += 1
      found[thrown instanceof Violation ? thrown.kind : 'stuck'] += 1
      tell(
        `${loop.name}: round ${round}, seed ${options.seed}, ${JSON.stringify(site.kind)}: ${violation.message}`,
      )
      round += 1
    }
    await site.end(violation)
    for (const key of ['asked', 'acknowledged', 'refused'] as const) sums[key] += site.history.counts[key]
  }
  const seconds = Math.round((Date.now() - begunMs) / 1000)
  const counts = { ...sums, ...found, ...loop.counts }
  const words = Object.entries(counts).map(([name, count]) => `${grouped(count)} ${name}`)
  const sentence = `${loop.name}: ${grouped(round)} rounds, seed ${options.seed}, ${words.join(', ')}, ${seconds} s`
  tell(sentence)
  return { name: loop.name, options, violations, sentence }
}

function kindOf(index: number, only: string | undefined): SiteKind {
  const able = KINDS.filter(
    (kind) =>
      (kind.app === 'node' || hasCommandLine()) &&
      (only === undefined || kind.app === only || kind.journalMode === only),
  )
  const kind = able[index % able.length]
  if (kind === undefined) throw new Error(`no kind of site fits "${only}"`)
  return kind
}

function grouped(count: number): string {
  return String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ')
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}
