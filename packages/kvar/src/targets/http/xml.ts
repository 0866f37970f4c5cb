import { TargetError } from '../target.ts'

/** An element of an answer: its name without the namespace's prefix, its text, its children. */
export interface XmlElement {
  name: string
  /** The text directly inside it, with its white space: a key may begin or end with some. */
  text: string
  children: XmlElement[]
}

const DEPTH_LIMIT = 32
const TOKEN =
  /<!\[CDATA\[([\s\S]*?)\]\]>|<!--[\s\S]*?-->|<\?[\s\S]*?\?>|<(\/?)([^\s<>/!?]+)([^<>]*?)(\/?)>|<|[^<]+/g
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/**
 * Reads the XML that S3 and WebDAV servers answer: elements and text, nothing else. A document type is
 * refused, so there are no entities of its own, no files and addresses that they name, and no growth
 * (W3C XML 1.0 section 4; the attacks are known as "XXE" and "billion laughs").
 *
 * @throws TargetError `temporary` for what is no such XML: a proxy's page of apology, most often
 */
export function parseXml(text: string, url: string): XmlElement {
  const root: XmlElement = { name: '', text: '', children: [] }
  const open: XmlElement[] = [root]
  for (const match of text.matchAll(TOKEN)) {
    const [token, cdata, closing, name, , empty] = match
    const parent = open.at(-1) as XmlElement
    if (cdata !== undefined) parent.text += cdata
    else if (name !== undefined) enterOrLeave(localName(name), closing === '/', empty === '/')
    else if (token === '<') throw notXml(url)
    else if (!token.startsWith('<')) parent.text += decodeEntities(token)
  }
  const [element] = root.children
  if (open.length !== 1 || element === undefined || root.children.length !== 1) throw notXml(url)
  return element

  function enterOrLeave(name: string, isClosing: boolean, isEmpty: boolean): void {
    const current = open.at(-1) as XmlElement
    if (isClosing) {
      if (open.length === 1 || current.name !== name) throw notXml(url)
      open.pop()
      return
    }
    const element = { name, text: '', children: [] }
    current.children.push(element)
    if (!isEmpty) open.push(element)
    if (open.length > DEPTH_LIMIT) throw notXml(url)
  }
}

/** The first child of this name. */
export function child(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((one) => one.name === name)
}

export function children(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter((one) => one.name === name)
}

/** The text of the first child of this name. */
export function childText(element: XmlElement | undefined, name: string): string | undefined {
  return child(element, name)?.text
}

/** Text as it may stand inside an element. */
export function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function localName(name: string): string {
  return name.slice(name.indexOf(':') + 1)
}

/** Unknown entities stay as they are written: they can only come from a document type, which is refused. */
function decodeEntities(text: string): string {
  return text.replaceAll(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));/g, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name as string] ?? whole
    const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}

function notXml(url: string): TargetError {
  return new TargetError('temporary', `${url} answered something that cannot be understood`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}
