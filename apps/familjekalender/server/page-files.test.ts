// Goal: the page is served from memory, fresh and small. Method: a folder of two files, and the
// requests a browser makes; a path that climbs out finds nothing.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, expect, test } from 'vitest'
import { pageRoutes, readPageFiles } from './page-files.ts'

const folder = mkdtempSync(join(tmpdir(), 'page-'))
mkdirSync(join(folder, 'assets'))
const script = 'console.log("hej")\n'.repeat(100)
writeFileSync(join(folder, 'index.html'), '<!doctype html>')
writeFileSync(join(folder, 'assets', 'app-1234.js'), script)
const routes = pageRoutes(readPageFiles(folder))
afterAll(() => rmSync(folder, { recursive: true }))

test('the page itself is asked for each time, and answered 304 when nothing changed', async () => {
  const first = await routes.request('/')
  expect(first.headers.get('Content-Type')).toBe('text/html; charset=utf-8')
  expect(first.headers.get('Cache-Control')).toBe('no-cache')
  const again = await routes.request('/', { headers: { 'If-None-Match': first.headers.get('ETag') ?? '' } })
  expect(again.status).toBe(304)
})

test('files with a hash in their name are kept by the browser, and sent small', async () => {
  const response = await routes.request('/assets/app-1234.js', { headers: { 'Accept-Encoding': 'gzip, br' } })
  expect(response.headers.get('Cache-Control')).toContain('immutable')
  expect(response.headers.get('Content-Encoding')).toBe('gzip')
  expect(gunzipSync(await response.arrayBuffer()).toString()).toBe(script)
  expect(await (await routes.request('/assets/app-1234.js')).text()).toBe(script)
})

test.each(['/assets/../../package.json', '/assets/%2e%2e/%2e%2e/package.json', '/assets/', '/index'])(
  '%s is not there',
  async (path) => {
    expect((await routes.request(path)).status).toBe(404)
  },
)
