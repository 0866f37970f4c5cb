/** One measured thing, beside what it is measured against. */
export interface Figure {
  /** What was measured, in words: `restore of 590 MB`. */
  what: string
  /** `ours`, a peer (`litestream 0.3.13`, `the seed`), or a `limit` (`cp`, a bare fsync). */
  whose: string
  /** The median where there are several samples. */
  value: number
  unit: Unit
  samples?: number[]
  /** How the figure was got, where the name does not say it. */
  note?: string
  goal?: Goal
}

export type Unit =
  | 'ms'
  | 's'
  | 'MB'
  | 'kB'
  | 'bytes'
  | 'objects'
  | 'commits'
  | '% of a core'
  | '%'
  | 'commits/s'
  | 'rows/s'
  | 'MB/s'
  | 'times'
  | 'calls'
  | '×'

export interface Goal {
  /** The promise in words, as in docs/PROMISES.md. */
  text: string
  met: boolean
}

/** A figure that must not exceed a limit. */
export function atMost(value: number, limit: number, text: string): Goal {
  return { text, met: value <= limit }
}

export function atLeast(value: number, limit: number, text: string): Goal {
  return { text, met: value >= limit }
}

/** What a row gets to work with. */
export interface RowOptions {
  /** Small sizes: shows that the row works, not what the product can do. */
  quick: boolean
  /** A folder of the row's own, removed afterwards. */
  folder: string
  /** Where databases that take long to make are kept between runs. */
  cacheFolder: string
  /** Says what is going on, on stderr. */
  tell: (sentence: string) => void
}

export interface Row {
  name: string
  question: string
  run: (options: RowOptions) => Promise<Figure[]>
}
