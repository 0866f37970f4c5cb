// Goal: the server listens and stores where the environment says. Method: examples.
import { expect, test } from 'vitest'
import { readSettings } from './settings.ts'

test('without an environment everything lies in data', () => {
  expect(readSettings({})).toEqual({
    port: 3000,
    dataFolder: 'data',
    databasePath: 'data/familjekalender.db',
    targets: ['folder:data/backup'],
  })
})

test('targets of the environment are left to Kvar', () => {
  const settings = readSettings({ PORT: '8080', DATA_DIR: '/srv/kalender', KVAR_TARGETS: 'folder:/mnt/disk' })
  expect(settings).toMatchObject({
    port: 8080,
    databasePath: '/srv/kalender/familjekalender.db',
    targets: undefined,
  })
})

test.each(['x', '-1', '70000', '3000.5'])('PORT=%s is refused with a sentence', (PORT) => {
  expect(() => readSettings({ PORT })).toThrow(/PORT must be a number/)
})
