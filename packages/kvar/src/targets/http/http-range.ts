import type { HttpAnswer } from '../../platform/http-client.ts'
import { type ReadOptions, TargetError } from '../target.ts'
import type { FailedCall } from './http-errors.ts'

type Range = NonNullable<ReadOptions['range']>

/** Servers keep sizes in signed 64-bit numbers, some in doubles: an end beyond this is left out. */
const END_LIMIT = 2 ** 50

/**
 * The header that asks for a range (RFC 9110 section 14.1.2). An empty range cannot be asked for: one
 * byte is, and none of it is given on.
 */
export function rangeHeader(range: Range | undefined): Record<string, string> {
  if (range === undefined) return {}
  const last = range.offset + Math.max(1, range.length) - 1
  return { range: `bytes=${range.offset}-${last >= END_LIMIT ? '' : last}` }
}

/**
 * The bytes that were asked for. A server may ignore the wish for a range and send everything (status
 * 200); one that sends another range than was asked for is not believed.
 */
export function rangedBody(
  answer: HttpAnswer,
  range: Range | undefined,
  call: FailedCall,
): AsyncIterableIterator<Uint8Array> {
  if (range === undefined) return answer.body
  if (answer.status !== 206) return sliced(answer.body, range)
  const first = /^bytes (\d+)-/.exec(answer.headers['content-range'] ?? '')?.[1]
  if (first === undefined || Number(first) === range.offset) {
    return sliced(answer.body, { offset: 0, length: range.length })
  }
  answer.body.return?.()
  throw new TargetError(
    'temporary',
    `Cannot ${call.doing} on ${call.url}: it sent another part than asked for`,
    {
      data: { url: call.url },
    },
  )
}

/** Passes on `length` bytes from `offset`, then lets the connection go. */
function sliced(body: AsyncIterableIterator<Uint8Array>, range: Range): AsyncIterableIterator<Uint8Array> {
  let skipBytes = range.offset
  let leftBytes = range.length
  const end = async () => {
    leftBytes = 0
    await body.return?.()
    return { done: true, value: undefined } as const
  }
  const next = async (): Promise<IteratorResult<Uint8Array, undefined>> => {
    while (leftBytes > 0) {
      const step = await body.next()
      if (step.done) return end()
      const chunk = step.value.subarray(skipBytes, skipBytes + leftBytes)
      skipBytes -= Math.min(skipBytes, step.value.length)
      leftBytes -= chunk.length
      if (chunk.length > 0) return { done: false, value: chunk }
    }
    return end()
  }
  return {
    next,
    return: end,
    [Symbol.asyncIterator]() {
      return this
    },
  }
}
