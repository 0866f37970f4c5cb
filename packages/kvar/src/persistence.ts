import { KvarError } from './errors.ts'
import { KeeperClient } from './keeper/client.ts'
import { loadSettings } from './keeper/load-settings.ts'
import type { KeeperStatus, StartReport } from './keeper/status.ts'
import type {
  DatabasePersistence,
  FlushResult,
  PersistentDbOptions,
  RestoreOptions,
  VersionSummary,
} from './persistence-types.ts'
import { systemPlatform } from './platform/system.ts'

/**
 * Brings the database back if its disk was thrown away, and protects it from then on. Call it before
 * the app opens the database.
 *
 * @param databasePath path of the SQLite file; need not exist yet
 * @param options see `PersistentDbOptions`; `KVAR_TARGETS` and the other variables work as well
 * @throws KvarError when the app must not go on: `UNREACHABLE`, `SETTING_INVALID`, `LINEAGE_MISMATCH`, …
 * @example
 * const persistence = await createPersistentDb('family.db', { targets: ['folder:/mnt/backup/family'] })
 * const database = new DatabaseSync('family.db')
 * database.exec('CREATE TABLE IF NOT EXISTS notes(text)')
 * await persistence.flush()
 * await persistence.close()
 */
export async function createPersistentDb(
  databasePath: string,
  options: PersistentDbOptions = {},
): Promise<DatabasePersistence> {
  const settings = loadSettings({ databasePath, options, optionsFrom: 'code' })
  const watchers = new Set<(status: KeeperStatus) => void>()
  const client = await KeeperClient.open({
    settings,
    platform: systemPlatform,
    role: 'app',
    onStatus: (status) => {
      for (const watcher of watchers) watcher(status)
    },
    onFenced: (error) => options.onFenced?.(error),
  })
  const persistence = new KeeperPersistence(client, watchers)
  if (options.handleSignals !== false) persistence.closeOnSignals()
  return persistence
}

const SIGNALS = ['SIGTERM', 'SIGINT'] as const

class KeeperPersistence implements DatabasePersistence {
  readonly restored: StartReport
  readonly #client: KeeperClient
  readonly #watchers: Set<(status: KeeperStatus) => void>
  #removeHandlers: () => void = () => undefined

  constructor(client: KeeperClient, watchers: Set<(status: KeeperStatus) => void>) {
    this.#client = client
    this.#watchers = watchers
    this.restored = client.report as StartReport
  }

  flush(options: { signal?: AbortSignal } = {}): Promise<FlushResult> {
    return this.#client.call('flush', {}, options)
  }

  backupDatabase(): Promise<FlushResult> {
    return this.#client.call('backupDatabase', {})
  }

  backupToJson(): Promise<{ path: string; version: number }> {
    return this.#client.call('backupToJson', {})
  }

  restoreFromJson(
    options: { path?: string; force?: boolean } = {},
  ): Promise<{ rows: number; version: number }> {
    return this.#client.call('restoreFromJson', options)
  }

  checkAndRestore(): Promise<StartReport> {
    return this.#client.call('checkAndRestore', {})
  }

  status(): Promise<KeeperStatus> {
    return this.#client.call('status', {})
  }

  async *watch(): AsyncIterable<KeeperStatus> {
    let latest: KeeperStatus | undefined = await this.#client.call('watch', {})
    let wake: () => void = () => undefined
    const watcher = (status: KeeperStatus) => {
      latest = status
      wake()
    }
    this.#watchers.add(watcher)
    try {
      for (;;) {
        if (latest === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
        const next: KeeperStatus | undefined = latest
        latest = undefined
        if (next !== undefined) yield next
      }
    } finally {
      this.#watchers.delete(watcher)
    }
  }

  versions(options: { limit?: number } = {}): Promise<VersionSummary[]> {
    return this.#client.call('versions', options)
  }

  restore(options: RestoreOptions): Promise<{ version: number; restoredFrom: number }> {
    return this.#client.call('restore', options)
  }

  async close(): Promise<void> {
    this.#removeHandlers()
    const left = await this.#client.close()
    if (left !== null) {
      throw new KvarError('UNREACHABLE', `Closed, but ${left}`, {
        hint: 'what is missing lies in the database here and is stored at the next start on this disk',
      })
    }
  }

  /**
   * In a container the whole world ends with process 1: what is committed must be stored before this
   * process leaves. An app with handlers of its own stays in charge of leaving.
   */
  closeOnSignals(): void {
    const handlers = SIGNALS.map((signal) => {
      const handler = () => {
        this.close()
          .catch((thrown: Error) => process.stderr.write(`error: ${thrown.message}\n`))
          .finally(() => {
            if (process.listenerCount(signal) > 0) return
            // As process 1 the default action of a signal is to be ignored: leave by ourselves then.
            if (process.pid === 1) process.exit(signal === 'SIGTERM' ? 143 : 130)
            process.kill(process.pid, signal)
          })
      }
      process.once(signal, handler)
      return () => process.removeListener(signal, handler)
    })
    this.#removeHandlers = () => {
      for (const remove of handlers) remove()
    }
  }
}
