/**
 * Reads JSON (RFC 8259) token by token from a source of bytes, in bounded memory.
 *
 * JSON.parse will not do for a copy: a file above 512 MB does not fit a string, integers beyond 2^53
 * lose digits, of two equal keys the first vanishes without a word, and bytes that are not UTF-8 are
 * replaced. Here each of these is either exact or an error with its line and column.
 */
export class JsonReader {
  readonly #source: ByteSource
  readonly #buffer = Buffer.allocUnsafe(BUFFER_BYTES)
  #at = 0
  #end = 0
  /** Offset in the source of the byte after the buffer. */
  #nextOffset: number
  #line = 1
  #lineOffset: number
  #depth = 0

  /**
   * @param source answers how many bytes it put into the buffer; 0 at the end
   * @param startOffset where in the source the JSON begins
   */
  constructor(source: ByteSource, startOffset = 0) {
    this.#source = source
    this.#nextOffset = startOffset
    this.#lineOffset = startOffset
    this.#skipByteOrderMark()
  }

  /** Bytes of the source consumed so far: for pacing. */
  get offset(): number {
    return this.#nextOffset - this.#end + this.#at
  }

  /** What the next token begins, without consuming it. */
  peekKind(): JsonKind {
    const byte = this.#skipSpace()
    if (byte === BRACE_OPEN) return 'object'
    if (byte === BRACKET_OPEN) return 'array'
    if (byte === QUOTE) return 'text'
    if (byte === MINUS || (byte >= 0x30 && byte <= 0x39)) return 'number'
    return byte === END ? 'end' : 'word'
  }

  /** Consumes `{` or `[`. Go on with `nextKey` or `nextElement` until it answers that there is no more. */
  enter(): void {
    this.#skipSpace()
    this.#at += 1
    this.#depth += 1
    if (this.#depth > MAX_DEPTH) throw this.problem(`lists and objects are nested deeper than ${MAX_DEPTH}`)
  }

  /** The next key of the object that was entered, its colon consumed; undefined after the last. */
  nextKey(isFirst: boolean): string | undefined {
    if (this.#atClosing(BRACE_CLOSE, isFirst, 'object')) return undefined
    if (this.#skipSpace() !== QUOTE) throw this.#unexpected('a key in double quotes')
    const key = this.#readText()
    if (this.#skipSpace() !== COLON) throw this.#unexpected('a colon after the key')
    this.#at += 1
    return key
  }

  /** Whether the array that was entered has one more element, its comma consumed. */
  nextElement(isFirst: boolean): boolean {
    return !this.#atClosing(BRACKET_CLOSE, isFirst, 'list')
  }

  /** The next value whole: only where it is known to be small, or is a row's cell. */
  readValue(): JsonValue {
    const kind = this.peekKind()
    if (kind === 'text') return this.#readText()
    if (kind === 'number') return this.#readNumber()
    if (kind === 'object') return this.#readObject()
    if (kind === 'array') return this.#readArray()
    return this.#readWord()
  }

  /** Asserts that nothing but white space follows. */
  expectEnd(): void {
    if (this.#skipSpace() !== END) throw this.problem('something follows after the end of the JSON')
  }

  /** An error at the place that is read just now. */
  problem(reason: string): JsonProblem {
    return new JsonProblem(reason, { line: this.#line, column: this.offset - this.#lineOffset + 1 })
  }

  #readObject(): JsonObject {
    const members: JsonObject = new Map()
    this.enter()
    for (let key = this.nextKey(true); key !== undefined; key = this.nextKey(false)) {
      if (members.has(key)) throw this.problem(`the key ${quoted(key)} stands twice in one object`)
      members.set(key, this.readValue())
    }
    return members
  }

  #readArray(): JsonValue[] {
    const elements: JsonValue[] = []
    this.enter()
    while (this.nextElement(elements.length === 0)) elements.push(this.readValue())
    return elements
  }

  #atClosing(closing: number, isFirst: boolean, what: string): boolean {
    const byte = this.#skipSpace()
    if (byte === closing) {
      this.#at += 1
      this.#depth -= 1
      return true
    }
    if (isFirst) return false
    if (byte !== COMMA) throw this.#unexpected(`a comma or the end of the ${what}`)
    this.#at += 1
    if (this.#skipSpace() === closing) throw this.problem(`a comma stands before the end of the ${what}`)
    return false
  }

  #readNumber(): bigint | number {
    const source = this.#readWhile(NUMBER_BYTES)
    if (source === '-' && this.#peek() === LETTER_I) this.#readWord()
    if (!NUMBER.test(source)) throw this.problem('a number that JSON does not know')
    return INTEGER.test(source) ? BigInt(source) : Number(source)
  }

  #readWord(): null | boolean {
    const word = this.#readWhile(WORD_BYTES)
    if (word === 'null') return null
    if (word === 'true') return true
    if (word === 'false') return false
    if (word === 'NaN' || word === 'Infinity') throw this.problem(`${word} is not a number that JSON knows`)
    throw this.#unexpected('a value')
  }

  #readWhile(belongs: Uint8Array): string {
    let word = ''
    while (this.#peek() !== END) {
      const start = this.#at
      while (this.#at < this.#end && belongs[this.#buffer[this.#at] as number] === 1) this.#at += 1
      word += this.#buffer.toString('latin1', start, this.#at)
      if (word.length > MAX_WORD_LENGTH)
        throw this.problem(`a number of more than ${MAX_WORD_LENGTH} characters`)
      if (this.#at < this.#end) break
    }
    return word
  }

  #readText(): string {
    this.#at += 1
    const scan: TextScan = { pieces: [], sizeBytes: 0, isAscii: true, hasEscapes: false, inEscape: false }
    while (!this.#scanText(scan)) {
      if (this.#peek() === END) throw this.problem('the file ends in the middle of a text')
    }
    const bytes = scan.pieces.length === 1 ? (scan.pieces[0] as Buffer) : Buffer.concat(scan.pieces)
    const text = scan.isAscii ? bytes.toString('latin1') : this.#decode(bytes)
    return scan.hasEscapes ? this.#unescape(text) : text
  }

  /** Takes what the buffer holds of the text; true when its closing quote was consumed. */
  #scanText(scan: TextScan): boolean {
    const start = this.#at
    let at = start
    for (; at < this.#end; at += 1) {
      const byte = this.#buffer[at] as number
      if (byte < 0x20) throw this.problem('a control character stands in a text')
      if (byte > 0x7f) scan.isAscii = false
      if (scan.inEscape) scan.inEscape = false
      else if (byte === QUOTE) break
      else if (byte === BACKSLASH) scan.hasEscapes = scan.inEscape = true
    }
    const isClosed = at < this.#end
    this.#take(scan, start, at, isClosed)
    this.#at = isClosed ? at + 1 : at
    return isClosed
  }

  /** A piece is copied only where the buffer will be filled again before it is used. */
  #take(scan: TextScan, start: number, end: number, isClosed: boolean): void {
    scan.sizeBytes += end - start
    if (scan.sizeBytes > MAX_TEXT_BYTES) throw this.problem(`a text of more than ${MAX_TEXT_BYTES} bytes`)
    const piece = this.#buffer.subarray(start, end)
    if (isClosed || end > start) scan.pieces.push(isClosed ? piece : Buffer.from(piece))
  }

  #decode(bytes: Buffer): string {
    try {
      return utf8.decode(bytes)
    } catch {
      throw this.problem('a text is not UTF-8')
    }
  }

  #unescape(text: string): string {
    try {
      return JSON.parse(`"${text}"`) as string
    } catch {
      throw this.problem('a text holds an escape that JSON does not know')
    }
  }

  #skipSpace(): number {
    for (;;) {
      const byte = this.#peek()
      if (byte === NEWLINE) {
        this.#line += 1
        this.#lineOffset = this.offset + 1
      } else if (byte !== SPACE && byte !== TAB && byte !== RETURN) return byte
      this.#at += 1
    }
  }

  #peek(): number {
    if (this.#at === this.#end && !this.#fill()) return END
    return this.#buffer[this.#at] as number
  }

  #fill(): boolean {
    const count = this.#source(this.#buffer, this.#nextOffset)
    this.#nextOffset += count
    this.#at = 0
    this.#end = count
    return count > 0
  }

  /** Editors on Windows put U+FEFF in front; a file in UTF-16 is told from that and refused by name. */
  #skipByteOrderMark(): void {
    this.#peek()
    const [first, second, third] = this.#buffer.subarray(0, this.#end)
    if (first === 0xef && second === 0xbb && third === 0xbf) this.#at = this.#lineOffset = 3
    if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) {
      throw this.problem('the file is UTF-16, not UTF-8')
    }
  }

  #unexpected(wanted: string): JsonProblem {
    if (this.#peek() === END) return this.problem(`the file ends where ${wanted} should stand`)
    return this.problem(`${wanted} should stand here`)
  }
}

/** Fills the buffer from an offset of the file; answers how many bytes there were. */
export type ByteSource = (buffer: Uint8Array, offset: number) => number
export type JsonKind = 'object' | 'array' | 'text' | 'number' | 'word' | 'end'
export type JsonObject = Map<string, JsonValue>
/** Numbers without fraction and exponent are bigint, of any size; all others are doubles, perhaps infinite. */
export type JsonValue = null | boolean | string | bigint | number | JsonValue[] | JsonObject

/** What is wrong in a JSON file, and where if that is known; the caller turns it into a KvarError. */
export class JsonProblem extends Error {
  readonly position: { line: number; column: number } | undefined
  constructor(reason: string, position?: { line: number; column: number }) {
    super(reason)
    this.name = 'JsonProblem'
    this.position = position
  }
}

/** A name as it may stand in a sentence: quoted, and cut where a damaged file holds a whole book. */
export function quoted(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
}

interface TextScan {
  pieces: Buffer[]
  sizeBytes: number
  isAscii: boolean
  hasEscapes: boolean
  inEscape: boolean
}

const BUFFER_BYTES = 256 * 1024
const MAX_DEPTH = 64
const MAX_WORD_LENGTH = 1000
/** A JavaScript string holds at most 2^29 − 24 characters. */
const MAX_TEXT_BYTES = 500 * 1024 * 1024

const END = -1
const TAB = 0x09
const NEWLINE = 0x0a
const RETURN = 0x0d
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const MINUS = 0x2d
const COLON = 0x3a
const LETTER_I = 0x49
const BRACKET_OPEN = 0x5b
const BACKSLASH = 0x5c
const BRACKET_CLOSE = 0x5d
const BRACE_OPEN = 0x7b
const BRACE_CLOSE = 0x7d

const NUMBER = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
const INTEGER = /^-?\d+$/
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const NUMBER_BYTES = bytesOf('0123456789+-.eE')
const WORD_BYTES = bytesOf('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ')

function bytesOf(characters: string): Uint8Array {
  const belongs = new Uint8Array(256)
  for (const byte of Buffer.from(characters)) belongs[byte] = 1
  return belongs
}
