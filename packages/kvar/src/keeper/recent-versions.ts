/** The newest versions' bytes, so that followers need not read them back from the ledger. */
export class RecentVersions {
  readonly #limitBytes: number
  readonly #bytes = new Map<number, Uint8Array>()
  #heldBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  add(version: number, bytes: Uint8Array): void {
    this.#bytes.set(version, bytes)
    this.#heldBytes += bytes.length
    for (const [oldest, held] of this.#bytes) {
      if (this.#heldBytes <= this.#limitBytes) return
      this.#bytes.delete(oldest)
      this.#heldBytes -= held.length
    }
  }

  get(version: number): Uint8Array | undefined {
    return this.#bytes.get(version)
  }
}
