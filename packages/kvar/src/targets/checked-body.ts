import { type ObjectBody, openBody, TargetError, throwIfCancelled } from './target.ts'

/** What a body's source threw: the caller's own trouble, which must not be taken for the target's. */
export class BodyFailure extends Error {
  constructor(cause: unknown) {
    super('A body could not be read', { cause })
    this.name = 'BodyFailure'
  }
}

export function bodyBytes(body: ObjectBody): number {
  return body instanceof Uint8Array ? body.length : body.sizeBytes
}

/**
 * A body in pieces of exactly `pieceBytes`, the last one smaller; at least one piece, so that an empty
 * body has a place too. Fails before the last piece when the source gives more or less than it promised,
 * so that nothing has been stored by then.
 *
 * @throws BodyFailure around what the source itself threw
 */
export async function* bodyPieces(
  body: ObjectBody,
  pieceBytes: number,
  signal: AbortSignal | undefined,
): AsyncIterable<Buffer> {
  const expectedBytes = bodyBytes(body)
  let givenBytes = 0
  let waiting: Buffer[] = []
  let waitingBytes = 0
  for await (const chunk of ownFailures(body)) {
    throwIfCancelled(signal)
    givenBytes += chunk.length
    if (givenBytes > expectedBytes) break
    // A copy where it may wait: a source may use its buffer again for its next chunk.
    for (let rest = chunk; rest.length > 0; ) {
      const part = Buffer.from(rest.subarray(0, pieceBytes - waitingBytes))
      rest = rest.subarray(part.length)
      waiting.push(part)
      waitingBytes += part.length
      const isLast = givenBytes === expectedBytes && rest.length === 0
      if (waitingBytes < pieceBytes || isLast) continue
      yield joined(waiting)
      waiting = []
      waitingBytes = 0
    }
  }
  if (givenBytes !== expectedBytes) throw wrongSize(expectedBytes, givenBytes)
  throwIfCancelled(signal)
  yield joined(waiting)
}

/** A whole body at once: only for bodies known to be small. */
export async function wholeBody(body: ObjectBody, signal: AbortSignal | undefined): Promise<Buffer> {
  let whole: Buffer | undefined
  for await (const piece of bodyPieces(body, Math.max(1, bodyBytes(body)), signal)) whole = piece
  return whole as Buffer
}

function joined(chunks: Buffer[]): Buffer {
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}

async function* ownFailures(body: ObjectBody): AsyncIterable<Uint8Array> {
  try {
    yield* openBody(body)
  } catch (cause) {
    throw new BodyFailure(cause)
  }
}

function wrongSize(expectedBytes: number, givenBytes: number): TargetError {
  return new TargetError(
    'permanent',
    `A body of ${expectedBytes} bytes gave ${givenBytes}: nothing was stored`,
    { data: { expectedBytes, givenBytes } },
  )
}
