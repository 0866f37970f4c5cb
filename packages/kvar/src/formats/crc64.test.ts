/*
 * Goal: the CRC is CRC-64/GO-ISO, whatever the pieces and their alignment.
 * Method: the published check value; a bit-by-bit reference that shares no code; random pieces.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Crc64 } from './crc64.ts'

function crcBitByBit(bytes: Uint8Array): bigint {
  let register = 0xffffffffffffffffn
  for (const byte of bytes) {
    register ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) register = (register >> 1n) ^ (register & 1n ? 0xd800000000000000n : 0n)
  }
  return register ^ 0xffffffffffffffffn
}

it('has the published check value', () => {
  expect(new Crc64().update(Buffer.from('123456789')).digest()).toBe(0xb90956c775a41001n)
  expect(new Crc64().digest()).toBe(0n)
})

it('equals the bit-by-bit reference for any bytes in any pieces at any alignment', () => {
  const pieces = fc.array(fc.uint8Array({ maxLength: 300, size: 'max' }), { maxLength: 6, size: 'max' })
  fc.assert(
    fc.property(pieces, fc.nat(7), (chunks, shift) => {
      const crc = new Crc64()
      for (const chunk of chunks) {
        const shifted = new Uint8Array(chunk.length + shift)
        shifted.set(chunk, shift)
        crc.update(shifted.subarray(shift))
      }
      expect(crc.digest()).toBe(crcBitByBit(Buffer.concat(chunks)))
    }),
  )
})

it('may be asked in between', () => {
  const crc = new Crc64().update(Buffer.from('12345'))
  crc.digest()
  expect(crc.update(Buffer.from('6789')).digest()).toBe(0xb90956c775a41001n)
})
