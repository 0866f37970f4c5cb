/**
 * The newest image of every page that changed since the last cut. Beyond `limitBytes` images are
 * let go and only the page numbers stay: the cut reads those pages again from the database, so a
 * transaction of any size needs no more memory than the limit (R11).
 */
export class PendingPages {
  readonly #limitBytes: number
  readonly #images = new Map<number, Uint8Array | undefined>()
  #heldBytes = 0

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  get size(): number {
    return this.#images.size
  }

  get heldBytes(): number {
    return this.#heldBytes
  }

  /** True when some image has to be read again at the cut. */
  get overflowed(): boolean {
    return this.#heldBytes >= this.#limitBytes
  }

  /** @param owned false: the buffer will be used again, so what is kept is a copy */
  set(pageNumber: number, image: Uint8Array, owned = true): void {
    const before = this.#images.get(pageNumber)
    if (before !== undefined) this.#heldBytes -= before.length
    const fits = this.#heldBytes + image.length <= this.#limitBytes
    this.#images.set(pageNumber, fits ? (owned ? image : image.slice()) : undefined)
    if (fits) this.#heldBytes += image.length
  }

  /** Marks a page as changed without an image. */
  mark(pageNumber: number): void {
    const before = this.#images.get(pageNumber)
    if (before !== undefined) this.#heldBytes -= before.length
    this.#images.set(pageNumber, undefined)
  }

  image(pageNumber: number): Uint8Array | undefined {
    return this.#images.get(pageNumber)
  }

  /** Forgets pages beyond the new end of a database that shrank. */
  truncate(pageCount: number): void {
    for (const [pageNumber, image] of this.#images) {
      if (pageNumber <= pageCount) continue
      this.#heldBytes -= image?.length ?? 0
      this.#images.delete(pageNumber)
    }
  }

  pageNumbers(): number[] {
    return [...this.#images.keys()].sort((a, b) => a - b)
  }

  clear(): void {
    this.#images.clear()
    this.#heldBytes = 0
  }
}
