import type { KvarError } from '../errors.ts'

/** `capture`: reading the database · `cut`: making versions · `notes`: what the keeper remembers on disk. */
export type TroubleSource = 'capture' | 'cut' | 'notes'

/**
 * What keeps a keeper from working as it should, for as long as it lasts. Each source mends its own: a
 * version that was cut says nothing about a database that cannot be read any more.
 */
export class Troubles {
  readonly #bySource = new Map<TroubleSource, KvarError>()
  readonly #changed: () => void

  constructor(changed: () => void) {
    this.#changed = changed
  }

  get first(): KvarError | undefined {
    return [...this.#bySource.values()][0]
  }

  /** @param error undefined: it is mended */
  set(source: TroubleSource, error: KvarError | undefined): void {
    if (error !== undefined) this.#bySource.set(source, error)
    else if (!this.#bySource.delete(source)) return
    this.#changed()
  }
}
