// Goal: one place has one URL, secrets never stand in it, and a secret on a command line is refused
// with the name of the variable where it belongs. Method: the folder scheme as it is, and an invented
// remote scheme for what only remote targets have.

import { resolve } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import type { SettingSource } from './setting-source.ts'
import type { SchemeRules } from './target-schemes.ts'
import { folderUrl, parseTargetUrl } from './target-url.ts'

const schemes: Record<string, SchemeRules> = {
  cloud: {
    example: 'cloud://host/bucket',
    isLocalPath: false,
    parameters: ['region', 'endpoint'],
    secrets: { password: ['KVAR_CLOUD_PASSWORD', 'CLOUD_PASSWORD'], id: ['KVAR_CLOUD_ID'] },
  },
}

const from = (kind: SettingSource['kind']): SettingSource => ({ kind, label: 'the test', baseFolder: '/srv' })

const parse = (
  text: string,
  environment: Record<string, string> = {},
  kind: SettingSource['kind'] = 'option',
) => parseTargetUrl(text, { source: from(kind), environment })

const parseCloud = (
  text: string,
  environment: Record<string, string> = {},
  kind: SettingSource['kind'] = 'variable',
) => parseTargetUrl(text, { source: from(kind), environment, schemes })

describe('folders', () => {
  it.each([
    ['folder:backup', '/srv/backup'],
    ['folder:./backup/', '/srv/backup'],
    ['folder:../backup', '/backup'],
    ['folder:/a/./b//c', '/a/b/c'],
    ['folder:///a', '/a'],
    ['FOLDER:/a', '/a'],
    ['folder:/my%20disk', '/my disk'],
    ['folder:/100%25', '/100%'],
    ['folder:~/backup', '/home/astrid/backup'],
    ['folder:/a~b', '/a~b'],
    ['folder:/mnt/user@host', '/mnt/user@host'],
    ['folder:/åäö', '/åäö'],
  ])('%s', (text, path) => {
    const setting = parse(text, { HOME: '/home/astrid' })
    expect(setting).toEqual({ url: folderUrl(path), scheme: 'folder', path, parameters: {}, secrets: {} })
  })

  it('have a URL without spaces that means the same folder again', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme', minLength: 1 }), { minLength: 1 }), (parts) => {
        const path = resolve(`/${parts.join('/').replaceAll('\0', '')}`)
        expect(folderUrl(path)).not.toMatch(/\s/)
        expect(parse(folderUrl(path)).path).toBe(path)
      }),
    )
  })

  it.each([
    ['./backup', /does not say what kind/, /folder:/],
    ['', /does not say what kind/, /folder:/],
    ['folder:', /has no path/, /folder:\.\/backup/],
    ['folder://backup/x', /two slashes begin a host/, /folder:/],
    ['folder:/a?fsync=no', /takes no "fsync"/, /allowed are: none/],
    ['folder:/a%', /begins no percent-encoding/, /%25/],
    ['folder:/a%00', /zero byte/, /folder:/],
    ['folder:~/a', /HOME/, /folder:/],
    ['floppy:/a', /"floppy:" is not a kind of target/, /known are folder: \(folder:\.\/backup\)/],
    ['constructor:/a', /"constructor:" is not a kind/, /known are/],
  ])('refuses %s', (text, message, hint) => {
    const refused = thrownBy(() => parse(text))
    expect(refused).toMatchObject({
      code: 'SETTING_INVALID',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    })
  })
})

describe('remote targets', () => {
  it('keep secrets apart from the URL, and parameters in one order', () => {
    const setting = parseCloud('cloud://astrid:p%40ss@host:99/a/b?region=n&endpoint=https%3A%2F%2Fh%2F&id=7')
    expect(setting).toEqual({
      url: 'cloud://astrid@host:99/a/b?endpoint=https%3A%2F%2Fh%2F&region=n',
      scheme: 'cloud',
      parameters: { endpoint: 'https://h/', region: 'n' },
      secrets: { password: 'p@ss', id: '7' },
    })
    expect(parseCloud('cloud:/Folder').url).toBe('cloud:/Folder')
  })

  it('take secrets from the environment, first variable first, and from the URL before that', () => {
    const environment = { CLOUD_PASSWORD: 'general', KVAR_CLOUD_PASSWORD: 'ours', KVAR_CLOUD_ID: '' }
    expect(parseCloud('cloud://host/a', environment).secrets).toEqual({ password: 'ours' })
    expect(parseCloud('cloud://host/a', { CLOUD_PASSWORD: 'general' }).secrets).toEqual({
      password: 'general',
    })
    expect(parseCloud('cloud://u:own@host/a', environment).secrets).toEqual({ password: 'own' })
  })

  it('refuse what is said twice or was never heard of', () => {
    expect(thrownBy(() => parseCloud('cloud://h/a?region=1&region=2'))).toMatchObject({
      message: expect.stringMatching(/twice/),
    })
    expect(thrownBy(() => parseCloud('cloud://u:1@h/a?password=2'))).toMatchObject({
      message: expect.stringMatching(/twice/),
    })
    expect(thrownBy(() => parseCloud('cloud://h/a?regoin=1'))).toMatchObject({
      hint: 'did you mean "region"?',
    })
    expect(thrownBy(() => parseCloud('cloud://h/a?__proto__=1'))).toMatchObject({ code: 'SETTING_INVALID' })
  })
})

describe('a secret on the command line', () => {
  it.each([
    ['cloud://astrid:s3cret@host/a', 'KVAR_CLOUD_PASSWORD'],
    ['cloud://host/a?password=s3cret', 'KVAR_CLOUD_PASSWORD'],
    ['cloud://host/a?id=s3cret', 'KVAR_CLOUD_ID'],
    ['cloud://host/a?secret_access_key=s3cret', 'KVAR_TARGETS'],
    ['nosuch://astrid:s3cret@host/a', 'KVAR_TARGETS'],
    ['nosuch://host/a?accessToken=s3cret', 'KVAR_TARGETS'],
    ['folder:/a?passphrase=s3cret', 'KVAR_TARGETS'],
  ])('%s is refused and belongs into %s', (text, variable) => {
    const refused = thrownBy(() => parseCloud(text, {}, 'argument'))
    expect(refused.code).toBe('SECRET_EXPOSED')
    expect(refused.hint).toContain(variable)
    expect(JSON.stringify(refused)).not.toContain('s3cret')
  })

  it('is allowed where only the owner reads, and harmless URLs are allowed everywhere', () => {
    for (const kind of ['option', 'variable', 'file'] as const) {
      expect(parseCloud('cloud://u:s3cret@host/a', {}, kind).secrets).toEqual({ password: 's3cret' })
    }
    expect(parseCloud('cloud://astrid@host/a?region=n', {}, 'argument').url).toBe(
      'cloud://astrid@host/a?region=n',
    )
    expect(parse('folder:/a', {}, 'argument').path).toBe('/a')
  })
})

function thrownBy(work: () => unknown): KvarError {
  try {
    work()
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(KvarError)
    return thrown as KvarError
  }
  throw new Error('nothing was thrown')
}
