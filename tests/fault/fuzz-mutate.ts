import type { Choices } from './proof-random.ts'

/** Bytes with a few things wrong: what a bad disk, a cut connection, an editor or an enemy leaves behind. */
export function mutated(original: Uint8Array, choices: Choices): Uint8Array {
  let bytes: Uint8Array = original.slice()
  for (let times = choices.pick([1, 1, 1, 2, 3]); times > 0; times--) {
    if (bytes.length === 0) return bytes
    bytes = choices.pick(WAYS)(bytes, choices)
  }
  return bytes
}

/** As `mutated`, and besides with pieces of JSON in each other's places. */
export function mutatedText(original: string, choices: Choices): string {
  if (choices.chance(0.4)) return Buffer.from(mutated(Buffer.from(original), choices)).toString()
  let text = original
  for (let times = choices.pick([1, 1, 1, 2, 3]); times > 0; times--) {
    const pieces = [...text.matchAll(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*|true|false|null|[[\]{}:,]/g)]
    if (pieces.length === 0) return text
    const { index, 0: piece } = choices.pick(pieces)
    const other = choices.chance(0.6) ? choices.pick(ODDITIES) : choices.pick(pieces)[0]
    text = text.slice(0, index) + other + text.slice(index + piece.length)
  }
  return text
}

type Way = (bytes: Uint8Array, choices: Choices) => Uint8Array

const flipBit: Way = (bytes, choices) => {
  const at = choices.between(0, bytes.length - 1)
  bytes[at] = (bytes[at] as number) ^ (1 << choices.between(0, 7))
  return bytes
}

const setByte: Way = (bytes, choices) => {
  bytes[choices.between(0, bytes.length - 1)] = choices.pick([0, 1, 0x7f, 0x80, 0xff, 0x22, 0x5b, 0x7b])
  return bytes
}

const setWord: Way = (bytes, choices) => {
  if (bytes.length < 8) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const at = choices.between(0, (bytes.length - 8) >> 2) * 4
  const value = choices.pick([0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 65536, 512, bytes.length])
  if (choices.chance(0.5)) view.setUint32(at, value)
  else view.setBigUint64(at, (BigInt(value) << 32n) | BigInt(value))
  return bytes
}

const cut: Way = (bytes, choices) => bytes.slice(0, choices.between(0, bytes.length - 1))

const remove: Way = (bytes, choices) => {
  const [from, to] = span(bytes, choices)
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)])
}

const repeat: Way = (bytes, choices) => {
  const [from, to] = span(bytes, choices)
  const piece = bytes.subarray(from, to)
  const times = Array.from({ length: choices.between(1, 4) }, () => piece)
  return Buffer.concat([bytes.subarray(0, to), ...times, bytes.subarray(to)])
}

const zeros: Way = (bytes, choices) => bytes.fill(0, ...span(bytes, choices))

const noise: Way = (bytes, choices) => {
  const [from, to] = span(bytes, choices)
  for (let at = from; at < to; at++) bytes[at] = choices.between(0, 255)
  return bytes
}

const WAYS: readonly Way[] = [flipBit, flipBit, setByte, setWord, setWord, cut, remove, repeat, zeros, noise]

/** At most 64 bytes, or what there is. */
function span(bytes: Uint8Array, choices: Choices): [number, number] {
  const from = choices.between(0, bytes.length - 1)
  return [from, Math.min(bytes.length, from + choices.between(1, 64))]
}

const ODDITIES: readonly string[] = [
  ...[
    'null',
    'true',
    '[]',
    '{}',
    '[',
    '}',
    '',
    '""',
    '"0"',
    '"null"',
    '-1',
    '0',
    '1e999',
    '-0',
    '0.5',
    '1e21',
  ],
  ...['9007199254740993', '18446744073709551616', '"\\u0000"', '"\\ud800"', '"__proto__"', '"constructor"'],
  ...['"../../etc"', '[[[[[[[[', '{"a":{"a":{"a":', '99999999999999999999999999999999999999999'],
  ...[`"${'x'.repeat(300)}"`, '"1e3"', '"0x10"', '"ffffffffffffffff"', 'NaN', '"2026-13-45T99:99:99Z"'],
]
