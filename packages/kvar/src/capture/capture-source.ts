import type { PageTable } from './page-table.ts'

/**
 * One way of learning what changed in the database. Both ways write into the same sink and answer
 * in the same words, so nothing above them knows which journal mode the app uses.
 */
export interface CaptureSource {
  readonly mode: 'wal' | 'comparison'
  /** Takes in everything committed before the call. Never waits for a target, never locks the app out. */
  look(sink: ChangeSink): Promise<LookOutcome>
  /**
   * Reads pages of the state captured last and answers those that are not what the table says. Only
   * right after a complete look, before anything else happens.
   */
  check(sink: ChangeSink, first: number, last: number): Promise<CheckOutcome>
  /**
   * The page as it stands in the state captured last, or undefined when it has moved on.
   * @param expected the page's checksum in that state
   */
  readPage(pageNumber: number, expected: bigint): Uint8Array | undefined
  /** Whether nothing was committed since the last look. Cheap, and takes no lock. */
  isUnchanged(): boolean
  /** Where in SQLite's files the captured state ends; kept to recognise a disk that went back. */
  position(): CapturePosition
  /** Called when nothing changed for a while: lets the app's own checkpoints pass. */
  rest(sink: ChangeSink): Promise<RestOutcome>
  close(): void
}

/**
 * `complete`: the table now shows one committed state · `busy`: a writer was in the way, look again ·
 * `moved`: the files were replaced or changed their journal mode, open them anew.
 */
export type LookOutcome = { kind: 'complete' } | { kind: 'busy'; why: string } | { kind: 'moved' }
/** `unsure`: something was written meanwhile, so a difference would prove nothing. */
export type CheckOutcome = { kind: 'checked'; drifted: Array<[number, Uint8Array]> } | { kind: 'unsure' }
export type RestOutcome = 'resting' | 'again' | 'released'

/** Where captured changes go: the page table and the pending pages. */
export interface ChangeSink {
  readonly table: PageTable | undefined
  /** Says page size and number of pages of the state being taken in; a new page size empties everything. */
  shape(pageSize: number, pageCount: number): PageTable
  /** Takes the page in if it differs from the table; the buffer may be reused afterwards unless `owned`. */
  page(pageNumber: number, image: Uint8Array, owned: boolean): void
}

export interface CapturePosition {
  changeCounter: number
  wal?: { salt1: number; salt2: number; frameCount: number; checksum1: number; checksum2: number }
}
