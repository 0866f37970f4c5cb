// Goal: XML from a server can neither do harm nor be misread. Method: a tree of any texts survives a
// round trip; attacks and damage give the one error; mutations of a real answer never hang.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { children, childText, escapeXml, parseXml } from './xml.ts'

const URL = 's3://bucket/app'

const texts = fc.array(fc.string({ unit: 'grapheme' }).filter((text) => !/\p{Cc}/u.test(text)))

it('gives back every text, with entities, sections and names with prefixes', () => {
  fc.assert(
    fc.property(texts, (values) => {
      const items = values.map((value) => `<n:item a="x">${escapeXml(value)}</n:item>`)
      const root = parseXml(
        `<?xml version="1.0"?><!-- ] --><n:list xmlns:n="DAV:">${items.join('')}<n:e/></n:list>`,
        URL,
      )
      expect(children(root, 'item').map(({ text }) => text)).toEqual(values)
      expect(childText(root, 'e')).toBe('')
    }),
  )
  const root = parseXml('<a><![CDATA[<b>&amp;]]>&#229;&#xe4;&quot;&unknown;&#9999999;</a>', URL)
  expect(root.text).toBe('<b>&amp;åä"&unknown;&#9999999;')
})

it.each([
  ['a document type', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'],
  ['an element that is never closed', '<a><b></a>'],
  ['one that was never opened', '<a></a></b>'],
  ['two roots', '<a/><b/>'],
  ['nothing', ''],
  ['text alone', 'SlowDown'],
  ['a half', '<a><b>c</b'],
  ['a depth that no answer has', `${'<a>'.repeat(100)}${'</a>'.repeat(100)}`],
])('refuses %s', (_name, text) => {
  expect(() => parseXml(text, URL)).toThrow(/cannot be understood/)
})

it('ends at once whatever is damaged', () => {
  const whole = `<l>${'<Contents><Key>a/b</Key><Size>1</Size></Contents>'.repeat(20)}</l>`
  const damage = fc.array(
    fc.tuple(fc.nat(whole.length), fc.constantFrom('<', '>', '/', '&', '"', '<!--', ']]>', '')),
  )
  fc.assert(
    fc.property(damage, (changes) => {
      let text = whole
      for (const [at, put] of changes) text = text.slice(0, at) + put + text.slice(at + 1)
      try {
        parseXml(text, URL)
      } catch (thrown) {
        expect(thrown).toMatchObject({ failure: 'temporary' })
      }
    }),
    { numRuns: 500 },
  )
})
