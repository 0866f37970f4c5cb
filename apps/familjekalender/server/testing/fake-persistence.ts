import type { DatabasePersistence, FlushResult, KeeperStatus } from 'kvar'
import type { ServerClock } from '../clock.ts'

/** A keeper's status in which everything is well, with what a test wants to be different. */
export function keeperStatus(changes: Partial<KeeperStatus> = {}): KeeperStatus {
  return {
    schema: 1,
    sentence: 'Safe.',
    safety: 'safe',
    state: 'protecting',
    database: 'familjekalender.db',
    lineage: '0123456789abcdef',
    version: 7,
    durableVersion: 7,
    confirmedAt: '2026-03-25T13:03:07.000Z',
    storedUpTo: '2026-03-25T13:03:09.000Z',
    waitingMs: 0,
    pendingPages: 0,
    captureMode: 'wal',
    targets: [targetStatus({ kind: 'folder' }), targetStatus({ kind: 'dropbox', role: 'follower' })],
    copies: [],
    start: null,
    branches: 0,
    drill: null,
    provedDrill: null,
    scrub: null,
    problem: null,
    notes: [],
    keeper: { processId: 1, nodeId: '1', startedAt: '2026-03-25T13:00:00.000Z', version: '0.1.0' },
    ...changes,
  }
}

type TargetStatus = KeeperStatus['targets'][number]

export function targetStatus(changes: Partial<TargetStatus> = {}): TargetStatus {
  return {
    url: 'folder:/srv/backup',
    kind: 'folder',
    role: 'ledger',
    version: 7,
    confirmedAt: '2026-03-25T13:03:07.000Z',
    behindMs: 0,
    storedBytes: null,
    sameDisk: false,
    problem: null,
    nextTryAt: null,
    ...changes,
  }
}

/** A persistence that says what a test tells it to. */
export interface FakePersistence extends Pick<DatabasePersistence, 'flush' | 'status'> {
  flushes: number
  flushSignal: AbortSignal | undefined
}

export function fakePersistence(
  options: { flush?: () => Promise<FlushResult>; status?: () => Promise<KeeperStatus> } = {},
): FakePersistence {
  const fake: FakePersistence = {
    flushes: 0,
    flushSignal: undefined,
    flush(flushOptions) {
      fake.flushes++
      fake.flushSignal = flushOptions?.signal
      return options.flush?.() ?? Promise.resolve({ version: 7, targets: ['folder:/srv/backup'] })
    },
    status: () => options.status?.() ?? Promise.resolve(keeperStatus()),
  }
  return fake
}

/** A clock that stands still until a test moves it. */
export interface HandClock extends ServerClock {
  advance(byMs: number): void
  /** How many timers are running. */
  running(): number
}

export function handClock(): HandClock {
  let nowMs = 0
  const timers = new Set<{ atMs: number; fire: () => void }>()
  return {
    startTimer(delayMs, fire) {
      const timer = { atMs: nowMs + delayMs, fire }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    advance(byMs) {
      nowMs += byMs
      for (const timer of timers) {
        if (timer.atMs > nowMs) continue
        timers.delete(timer)
        timer.fire()
      }
    },
    running: () => timers.size,
  }
}
