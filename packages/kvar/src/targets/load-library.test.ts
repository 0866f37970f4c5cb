// Goal: a missing optional library is named with the command that brings it, and no other failure is
// taken for that. Method: loading a package that nobody has, and loaders that fail in other ways.

import { expect, it } from 'vitest'
import { loadLibrary } from './load-library.ts'

const absent = 'kvar-has-no-such-library'

it('names the package and how to install it', async () => {
  const loading = loadLibrary(absent, 'postgres: targets', () => import(absent))
  await expect(loading).rejects.toMatchObject({
    code: 'SETTING_INVALID',
    message: `The package "${absent}", which postgres: targets need, is not installed`,
    hint: `run: npm i ${absent}`,
  })
})

it('passes the library on, and failures of its own too', async () => {
  expect(await loadLibrary('x', 'y', async () => 7)).toBe(7)
  const broken = new TypeError('it is broken')
  await expect(loadLibrary('x', 'y', () => Promise.reject(broken))).rejects.toBe(broken)
  const inner = Object.assign(new Error("Cannot find package 'other' imported from x"), {
    code: 'ERR_MODULE_NOT_FOUND',
  })
  await expect(loadLibrary('x', 'y', () => Promise.reject(inner))).rejects.toBe(inner)
})
