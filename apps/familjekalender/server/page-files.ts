import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, sep } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Hono } from 'hono'

/** One file of the built page, kept in memory: there are few, and no path of a request ever reaches the disk. */
export interface PageFile {
  body: Uint8Array<ArrayBuffer>
  gzipped: Uint8Array<ArrayBuffer> | undefined
  type: string
  etag: string
  /** Its name holds a hash of its content, so it never changes. */
  immutable: boolean
}

/** Address to file. `/` is index.html. */
export type PageFiles = Map<string, PageFile>

/**
 * Reads a built page from a folder.
 *
 * @throws the file system's error when the folder is missing: the page has not been built
 */
export function readPageFiles(folder: string): PageFiles {
  const files: PageFiles = new Map()
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const address = path.slice(folder.length).split(sep).join('/').replace(/^\/*/, '/')
    files.set(
      address === '/index.html' ? '/' : address,
      pageFile(address, new Uint8Array(readFileSync(path))),
    )
  }
  return files
}

/** Answers the page's files. */
export function pageRoutes(files: PageFiles): Hono {
  const routes = new Hono()
  for (const [address, file] of files) {
    routes.get(address, (context) => {
      context.header('ETag', file.etag)
      context.header('Vary', 'Accept-Encoding')
      context.header('Cache-Control', file.immutable ? 'public, max-age=31536000, immutable' : 'no-cache')
      if (context.req.header('If-None-Match') === file.etag) return context.body(null, 304)
      context.header('Content-Type', file.type)
      const gzip = file.gzipped !== undefined && /\bgzip\b/.test(context.req.header('Accept-Encoding') ?? '')
      if (!gzip || file.gzipped === undefined) return context.body(file.body)
      context.header('Content-Encoding', 'gzip')
      return context.body(file.gzipped)
    })
  }
  return routes
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
}

function pageFile(address: string, body: Uint8Array<ArrayBuffer>): PageFile {
  const gzipped = new Uint8Array(gzipSync(body))
  return {
    body,
    gzipped: gzipped.length < body.length ? gzipped : undefined,
    type: TYPES[extname(address)] ?? 'application/octet-stream',
    // Weak, because the gzipped form has the same name.
    etag: `W/"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`,
    immutable: address.startsWith('/assets/'),
  }
}
