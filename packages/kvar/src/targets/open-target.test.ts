// Goal: every scheme that settings accept can be opened, and one they do not know is refused with the
// known ones. Method: from the URL a person writes to an object on the disk.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { systemPlatform } from '../platform/system.ts'
import { parseTargetUrl } from '../settings/target-url.ts'
import { openTarget } from './open-target.ts'
import { readAll } from './target.ts'

it('opens a folder by its URL', async () => {
  const baseFolder = await mkdtemp(join(tmpdir(), 'kvar-open-'))
  try {
    const source = { kind: 'option', label: 'the test', baseFolder } as const
    const setting = parseTargetUrl('folder:my%20backup', { source, environment: {} })
    const target = await openTarget(setting, systemPlatform)
    expect(target.url).toBe(setting.url)
    expect(target.levelFolder(9)).toBe('ltx/9')
    await target.create('a', new Uint8Array([1]), { modifiedAtMs: 1 })
    expect(await readAll(target, 'a')).toEqual(new Uint8Array([1]))
  } finally {
    await rm(baseFolder, { recursive: true })
  }
})

it('refuses a scheme that it does not know', async () => {
  const setting = { url: 'floppy:/a', scheme: 'floppy', parameters: {}, secrets: {} }
  await expect(openTarget(setting, systemPlatform)).rejects.toMatchObject({
    code: 'SETTING_INVALID',
    hint: expect.stringMatching(/^known are folder: \(folder:\.\/backup\)/),
  })
})
