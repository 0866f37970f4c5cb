import type { CapturePosition } from '../capture/capture-source.ts'
import { Crc64 } from '../formats/crc64.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { type KeeperMemory, remember } from './state-store.ts'

/*
 * notes.bin: what changes with every version, written in place between two writings of state.json.
 * Replacing a whole file twice a version would cost two new files, two renames and their share of
 * the next fsync; a note costs one small write into pages that are already there.
 *
 *   256 records of 512 bytes; note number n stands at (n mod 256) × 512:
 *   CRC-64 of the text in 16 hexadecimal digits, a space, the text (JSON), spaces
 *
 * A torn record counts as missing. Notes count only in one row from the number that state.json names.
 */

const RECORD_BYTES = 512
const RECORDS = 256
const CHECKSUM_LENGTH = 16

/** `intent`: about to be sent to the ledger · `confirmed`: the ledger holds it. */
export type VersionNote =
  | { kind: 'intent'; version: number; databaseChecksum: string; nodeId: string }
  | {
      kind: 'confirmed'
      version: number
      databaseChecksum: string
      timestampMs: number
      nodeId: string
      position: CapturePosition
      notedAtMs: number
      ledgerUrl: string | null
    }

/** Takes a note into the memory: when it is made, and again when it is read after a crash. */
export function applyNote(memory: KeeperMemory, note: VersionNote): void {
  if (note.kind === 'intent') {
    const { version, databaseChecksum, nodeId } = note
    memory.intent = { version, databaseChecksum, nodeId }
    return
  }
  memory.version = note.version
  memory.databaseChecksum = note.databaseChecksum
  memory.timestampMs = note.timestampMs
  memory.nodeId = note.nodeId
  memory.intent = undefined
  memory.beganStale = undefined
  memory.position = note.position
  memory.notedAtMs = note.notedAtMs
  if (note.ledgerUrl !== null) memory.targets[note.ledgerUrl] = { version: note.version }
  remember(memory)
}

export class VersionNotes {
  readonly #file: OpenFile

  /** Begins with an empty file: older notes are in the memory, and that was saved. */
  constructor(path: string, platform: Platform) {
    this.#file = platform.files.openSync(path, 'create')
  }

  /** How many notes may follow a saved memory before it has to be saved again. */
  static readonly limit = RECORDS

  /** False when the note does not fit: then the memory has to be saved instead. */
  write(number: number, note: VersionNote): boolean {
    const text = JSON.stringify({ number, note })
    const record = Buffer.alloc(RECORD_BYTES, ' ')
    if (record.write(text, CHECKSUM_LENGTH + 1) < Buffer.byteLength(text)) return false
    record.write(checksumOf(Buffer.from(text)), 0)
    this.#file.writeSync(record, (number % RECORDS) * RECORD_BYTES)
    return true
  }

  close(): void {
    this.#file.closeSync()
  }
}

/** Takes the notes that follow the memory into it. */
export function replayNotes(memory: KeeperMemory, bytes: Uint8Array): void {
  for (let number = (memory.notes ?? 0) + 1; ; number++) {
    const start = (number % RECORDS) * RECORD_BYTES
    const note = parseRecord(Buffer.from(bytes.subarray(start, start + RECORD_BYTES)), number)
    if (note === undefined) return
    applyNote(memory, note)
    memory.notes = number
  }
}

function parseRecord(record: Buffer, number: number): VersionNote | undefined {
  const text = record
    .subarray(CHECKSUM_LENGTH + 1)
    .toString()
    .trimEnd()
  if (text === '' || record.toString('latin1', 0, CHECKSUM_LENGTH) !== checksumOf(Buffer.from(text)))
    return undefined
  const parsed = JSON.parse(text) as { number: number; note: VersionNote }
  return parsed.number === number ? parsed.note : undefined
}

function checksumOf(text: Uint8Array): string {
  return new Crc64().update(text).digest().toString(16).padStart(CHECKSUM_LENGTH, '0')
}
