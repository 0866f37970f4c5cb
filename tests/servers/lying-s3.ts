// A little S3 server of ours that lies in one way at a time, each as a real one was seen or is allowed
// to. It checks no signatures and keeps everything in memory: the truth about S3 comes from Ceph.

import { setTimeout as pause } from 'node:timers/promises'
import { type Asked, type Reply, type ScriptedServer, startScripted } from './scripted-http.ts'

export type Lie =
  /** Takes `If-None-Match` and overwrites all the same. */
  | 'ignores-conditions'
  /** Looks whether the object is there and stores it a moment later, as a proxy before a store may. */
  | 'looks-first'
  /** Says how long an object is and sends less. */
  | 'truncates'
  /** Sends an object without saying how long it is, and ends in the middle. */
  | 'truncates-unmeasured'
  /** One wrong bit in every object it sends. */
  | 'flips-a-bit'
  /** Ignores the wish for a range. */
  | 'ignores-ranges'
  /** Sends another range than was asked for. */
  | 'sends-another-range'
  /** The last object is not listed yet. */
  | 'lists-late'
  /** Every object is listed twice. */
  | 'lists-twice'
  /** Every page is the first one again. */
  | 'lists-for-ever'
  | 'lists-out-of-order'
  /** Says that there is more, and not how to get it. */
  | 'lists-half'
  /** Keys of other prefixes, with `..`, and none at all. */
  | 'lists-strangers'
  /** A page of HTML with status 200, as proxies and hotel networks send. */
  | 'answers-html'
  /** A document type that would grow to gigabytes. */
  | 'answers-bomb'
  /** Says 200 to a batch of removals and removes nothing. */
  | 'refuses-removals'
  /** Knows no batches of removals. */
  | 'has-no-batches'

export interface LyingS3 {
  server: ScriptedServer
  url: string
  objects: Map<string, Buffer>
  lie: Lie | undefined
  /** Answers so many requests with this first. */
  storm: { count: number; reply: Reply }
  stop(): Promise<void>
}

const PAGE = 3

/** Its bucket is called `bucket`. */
export async function startLyingS3(): Promise<LyingS3> {
  const server = await startScripted((asked) => answer(s3, asked))
  const s3: LyingS3 = {
    server,
    url: server.url,
    objects: new Map(),
    lie: undefined,
    storm: { count: 0, reply: {} },
    stop: () => server.stop(),
  }
  return s3
}

function answer(s3: LyingS3, asked: Asked): Reply | Promise<Reply> {
  if (s3.storm.count > 0) {
    s3.storm.count -= 1
    return s3.storm.reply
  }
  const url = new URL(asked.path, s3.url)
  const key = decodeURIComponent(url.pathname.replace(/^\/bucket\/?/, ''))
  if (asked.method === 'POST' && url.searchParams.has('delete')) return removeBatch(s3, asked)
  if (asked.method === 'GET' && key === '') return list(s3, url.searchParams)
  if (asked.method === 'GET') return get(s3, key, asked.headers.range)
  if (asked.method === 'PUT') return put(s3, key, asked)
  s3.objects.delete(key)
  return { status: 204 }
}

async function put(s3: LyingS3, key: string, { headers, body }: Asked): Promise<Reply> {
  const isRefused = headers['if-none-match'] === '*' && s3.objects.has(key) && s3.lie !== 'ignores-conditions'
  if (isRefused) return refusal(412, 'PreconditionFailed')
  if (s3.lie === 'looks-first') await pause(20)
  s3.objects.set(key, body)
  return { headers: { etag: '"x"' } }
}

function get(s3: LyingS3, key: string, range: string | undefined): Reply {
  if (s3.lie === 'answers-html')
    return { body: '<html>Please sign in<br></html>', headers: { 'content-type': 'text/html' } }
  const whole = s3.objects.get(key)
  if (whole === undefined) return refusal(404, 'NoSuchKey')
  const body = Buffer.from(whole)
  if (s3.lie === 'flips-a-bit') body.writeUInt8(body.readUInt8(0) ^ 1, 0)
  if (s3.lie === 'truncates') return { body, cutAfterBytes: body.length >> 1 }
  if (s3.lie === 'truncates-unmeasured')
    return { body: body.subarray(0, body.length >> 1), isUnmeasured: true }
  const match = /^bytes=(\d+)-(\d*)$/.exec(range ?? '')
  if (match === null || s3.lie === 'ignores-ranges') return { body }
  const shift = s3.lie === 'sends-another-range' ? 1 : 0
  const first = Number(match[1]) + shift
  const part = body.subarray(first, match[2] === '' ? body.length : Number(match[2]) + 1 + shift)
  const end = first + part.length - 1
  return { status: 206, body: part, headers: { 'content-range': `bytes ${first}-${end}/${body.length}` } }
}

function list(s3: LyingS3, query: URLSearchParams): Reply {
  if (s3.lie === 'answers-html') return { body: '<html>Please sign in<br></html>' }
  if (s3.lie === 'answers-bomb') return { body: BOMB }
  const prefix = query.get('prefix') ?? ''
  const after = query.get('continuation-token') ?? query.get('start-after') ?? ''
  let keys = [...s3.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  if (s3.lie === 'lists-late') keys.pop()
  keys = keys.filter((key) => key > after || s3.lie === 'lists-for-ever')
  const isTruncated = keys.length > PAGE || s3.lie === 'lists-for-ever' || s3.lie === 'lists-half'
  let page = keys.slice(0, PAGE)
  const token = s3.lie === 'lists-half' ? '' : `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>`
  if (s3.lie === 'lists-twice') page = page.flatMap((key) => [key, key])
  if (s3.lie === 'lists-out-of-order') page.reverse()
  if (s3.lie === 'lists-strangers')
    page = ['', '../x', 'other/a', `${prefix}../../y`, `${prefix}a/../b`, ...page, `${prefix} `]
  const contents = page.map(
    (key) =>
      `<Contents><Key>${encodeURIComponent(key)}</Key><Size>1</Size><LastModified>2026-11-23T08:00:00.000Z</LastModified></Contents>`,
  )
  const body = `<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${contents.join('')}${isTruncated ? token : ''}</ListBucketResult>`
  return { body }
}

function removeBatch(s3: LyingS3, { body }: Asked): Reply {
  if (s3.lie === 'has-no-batches') return refusal(501, 'NotImplemented')
  const keys = [...body.toString().matchAll(/<Key>([^<]*)<\/Key>/g)].map((match) => match[1] as string)
  if (s3.lie === 'refuses-removals') {
    return {
      body: `<DeleteResult><Error><Key>${keys[0]}</Key><Code>AccessDenied</Code></Error></DeleteResult>`,
    }
  }
  for (const key of keys) s3.objects.delete(key)
  return { body: '<DeleteResult/>' }
}

function refusal(status: number, code: string): Reply {
  return { status, body: errorBody(code) }
}

export function errorBody(code: string, rest = ''): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>AKIASECRET used s3cr3t</Message>${rest}</Error>`
}

const BOMB = `<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>
<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>&b;</Key></Contents></ListBucketResult>`
