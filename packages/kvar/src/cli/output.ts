import { EXIT_CODES, type KvarError } from '../errors.ts'
import { VERSION } from '../settings/version.ts'

/** The number of the form of everything that `--json` prints. */
export const JSON_SCHEMA = 1

export interface TextSink {
  write(text: string): unknown
  readonly isTTY?: boolean
}

export interface OutputOptions {
  json: boolean
  quiet: boolean
  colour: boolean
  stdout: TextSink
  stderr: TextSink
}

/**
 * Where words go: results to standard output, everything else to standard error, so that a pipe gets
 * only what was asked for. With `--json` standard output carries one JSON object a line instead.
 */
export class Output {
  readonly json: boolean
  readonly quiet: boolean
  readonly colour: boolean
  readonly stdout: TextSink
  readonly stderr: TextSink

  constructor(options: OutputOptions) {
    this.json = options.json
    this.quiet = options.quiet
    this.colour = options.colour && !options.json
    this.stdout = options.stdout
    this.stderr = options.stderr
  }

  /** The same, with everything on standard error: standard output belongs to somebody else. */
  onStderr(): Output {
    return new Output({ ...this, stdout: this.stderr, stderr: this.stderr })
  }

  /** What was asked for. */
  lines(lines: string[]): void {
    if (!this.json) this.stdout.write(lines.map((line) => `${line}\n`).join(''))
  }

  /** What was done: `--quiet` leaves it out. */
  done(lines: string[]): void {
    if (!this.quiet) this.lines(lines)
  }

  /** What is being done, for people who wait. */
  tell(sentence: string): void {
    if (this.json) this.#document({ event: 'tell', sentence })
    else if (!this.quiet) this.stderr.write(`${sentence}\n`)
  }

  /** The result as one JSON object; times in it are ISO-8601 UTC, sizes are bytes. */
  document(content: object): void {
    if (this.json) this.#document(content)
  }

  /** The last line of long work. */
  summary(content: object): void {
    this.document({ event: 'summary', ...content })
  }

  error(error: KvarError): void {
    const { code, message, hint, data } = error.toJSON()
    if (this.json) {
      const exitCode = EXIT_CODES[code]
      this.#document({ event: 'error', code, exitCode, message, hint: hint ?? null, data })
      if (this.stdout === this.stderr) return
    }
    this.stderr.write(`${this.#paint('error:', RED, this.stderr)} ${message}\n`)
    if (hint !== undefined) this.stderr.write(`${this.#paint('hint:', YELLOW, this.stderr)} ${hint}\n`)
  }

  /** The first word of a sentence in the colour of its meaning. */
  paintFirstWord(sentence: string, meaning: 'good' | 'care' | 'bad'): string {
    const end = sentence.search(/[:.]/)
    if (end < 0) return sentence
    const colour = { good: GREEN, care: YELLOW, bad: RED }[meaning]
    return this.#paint(sentence.slice(0, end), colour, this.stdout) + sentence.slice(end)
  }

  #paint(text: string, colour: string, sink: TextSink): string {
    return this.colour && sink.isTTY === true ? `\u001b[${colour}m${text}\u001b[0m` : text
  }

  #document(content: object): void {
    this.stdout.write(`${JSON.stringify({ schema: JSON_SCHEMA, kvar: VERSION, ...content })}\n`)
  }
}

const RED = '31'
const GREEN = '32'
const YELLOW = '33'
