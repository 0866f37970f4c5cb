// Goal: every setting is found at its first source and nowhere else, relative paths start where the
// person who wrote them stood, and every mistake is named with its place and what would be allowed.
// Method: the pure function, with tables of cases; a property test that nothing but a KvarError is thrown.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import { resolveSettings, type SettingsInput } from './settings.ts'

const CONFIG_PATH = '/etc/app/kvar.config.json'

function resolved(input: Partial<SettingsInput> & { file?: unknown } = {}) {
  const { file, ...rest } = input
  return resolveSettings({
    databasePath: 'app.db',
    options: {},
    environment: {},
    workingFolder: '/srv',
    ...(file === undefined ? {} : { configFile: { path: CONFIG_PATH, text: JSON.stringify(file) } }),
    ...rest,
  })
}

function refusal(input: Parameters<typeof resolved>[0]): KvarError {
  try {
    resolved(input)
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(KvarError)
    return thrown as KvarError
  }
  throw new Error('nothing was refused')
}

describe('defaults', () => {
  it('are what the documents say', () => {
    expect(resolved()).toEqual({
      databasePath: '/srv/app.db',
      targets: [],
      durable: 'ledger',
      copies: ['json', 'backup'],
      intervalMs: 1000,
      startTimeoutMs: 30_000,
      onUnreachable: 'fail',
      keep: { all: '7d', hourly: '30d', daily: '1y', monthly: 'forever' },
      logLevel: 'info',
      alarms: [],
      alarmAfterMs: 300_000,
      limits: {
        pendingBytes: 67_108_864,
        outboxBytes: 268_435_456,
        catchUpVersions: 1000,
        targetTries: 6,
        targetTimeoutMs: 30_000,
        takeBackMs: 60_000,
        drillAfterMs: 30_000,
        lateAfterMs: 10_000,
        notSafeAfterMs: 300_000,
        scrubAfterMs: 10_000,
      },
    })
  })
})

describe('the order of sources', () => {
  const everywhere = {
    durable: { option: 'all', variable: 'KVAR_DURABLE', text: 'ledger', file: 'all', key: 'durable' },
    interval: { option: '2s', variable: 'KVAR_INTERVAL', text: '3s', file: '4s', key: 'intervalMs' },
    startTimeout: {
      option: '2s',
      variable: 'KVAR_START_TIMEOUT',
      text: '3s',
      file: '4s',
      key: 'startTimeoutMs',
    },
    onUnreachable: {
      option: 'stale',
      variable: 'KVAR_ON_UNREACHABLE',
      text: 'fail',
      file: 'stale',
      key: 'onUnreachable',
    },
    schema: { option: 'one', variable: 'KVAR_SCHEMA', text: 'two', file: 'three', key: 'schema' },
  } as const

  for (const [name, { option, variable, text, file, key }] of Object.entries(everywhere)) {
    it(`${name}: option, variable, file`, () => {
      const only = (input: Parameters<typeof resolved>[0]) => resolved(input)[key]
      const [a, b, c] = [
        only({ options: { [name]: option } }),
        only({ environment: { [variable]: text } }),
        only({ file: { [name]: file } }),
      ]
      expect(
        only({ options: { [name]: option }, environment: { [variable]: text }, file: { [name]: file } }),
      ).toBe(a)
      expect(only({ environment: { [variable]: text }, file: { [name]: file } })).toBe(b)
      expect(only({ environment: { [variable]: '  ' }, file: { [name]: file } })).toBe(c)
    })
  }

  it('lists are not merged: the first source is the whole list', () => {
    const environment = { KVAR_TARGETS: ' folder:b\n\tfolder:c ', KVAR_COPIES: 'json' }
    expect(
      resolved({ options: { targets: ['folder:a'] }, environment }).targets.map(({ url }) => url),
    ).toEqual(['folder:/srv/a'])
    expect(resolved({ environment }).targets.map(({ url }) => url)).toEqual([
      'folder:/srv/b',
      'folder:/srv/c',
    ])
    expect(resolved({ environment, options: { copies: [] } }).copies).toEqual([])
    expect(resolved({ environment: { KVAR_COPIES: 'none' } }).copies).toEqual([])
    expect(resolved({ environment: { KVAR_COPIES: 'backup, json backup' } }).copies).toEqual([
      'backup',
      'json',
    ])
  })

  it('the database: call, variable, file', () => {
    const { databasePath: _, ...nowhere } = { databasePath: undefined }
    const environment = { KVAR_DB: 'variable.db' }
    const file = { database: 'file.db' }
    const base = {
      options: {},
      workingFolder: '/srv',
      configFile: { path: CONFIG_PATH, text: JSON.stringify(file) },
    }
    expect(resolveSettings({ ...base, databasePath: 'call.db', environment }).databasePath).toBe(
      '/srv/call.db',
    )
    expect(resolveSettings({ ...base, ...nowhere, environment }).databasePath).toBe('/srv/variable.db')
    expect(resolveSettings({ ...base, environment: {} }).databasePath).toBe('/etc/app/file.db')
  })

  it('paths in the file are relative to the file, all others to the working folder', () => {
    const file = { database: '../data/app.db', targets: ['folder:backup'] }
    expect(resolved({ file }).targets[0]?.path).toBe('/etc/app/backup')
    expect(resolved({ options: { targets: ['folder:backup'] }, file }).targets[0]?.path).toBe('/srv/backup')
    expect(resolved({ environment: { KVAR_TARGETS: 'folder:../x' }, file }).targets[0]?.path).toBe('/x')
  })

  it('keep and limits replace single values of the defaults', () => {
    expect(resolved({ environment: { KVAR_KEEP: 'all=1d, daily=2y' } }).keep).toEqual({
      all: '1d',
      hourly: '30d',
      daily: '2y',
      monthly: 'forever',
    })
    expect(resolved({ file: { limits: { targetTries: 2 } } }).limits).toMatchObject({
      targetTries: 2,
      catchUpVersions: 1000,
    })
  })
})

describe('the ledger', () => {
  const targets = ['folder:/a', 'folder:/b']

  it('is one of the targets, however it is written', () => {
    expect(resolved({ options: { targets, ledger: 'folder:///x/../b' } }).ledger).toBe('folder:/b')
    expect(resolved({ options: { targets } })).not.toHaveProperty('ledger')
  })

  it('is refused otherwise', () => {
    const error = refusal({ options: { targets }, environment: { KVAR_LEDGER: 'folder:/c' } })
    expect(error).toMatchObject({ code: 'SETTING_INVALID', hint: 'the targets are: folder:/a, folder:/b' })
    expect(error.message).toBe('Cannot use the variable KVAR_LEDGER: folder:/c is not one of the targets')
  })
})

describe('mistakes', () => {
  const cases: Array<[string, Parameters<typeof resolved>[0], RegExp, RegExp]> = [
    [
      'a word that is none',
      { environment: { KVAR_DURABLE: 'both' } },
      /the variable KVAR_DURABLE: "both" is not allowed/,
      /"ledger" or "all"/,
    ],
    [
      'an option of the wrong type',
      { options: { targets: 'folder:a' as never } },
      /option "targets": "folder:a" is not allowed/,
      /list/,
    ],
    [
      'a number for a duration',
      { options: { interval: 1000 as never } },
      /option "interval": 1000 is not allowed/,
      /250ms/,
    ],
    [
      'a duration that is none',
      { file: { interval: '1 sec' } },
      /"interval" in \/etc\/app\/kvar.config.json: "1 sec"/,
      /250ms/,
    ],
    [
      'an interval without end',
      { options: { interval: 'forever' } },
      /"forever" is not allowed/,
      /at most 1h/,
    ],
    ['an interval of nothing', { options: { interval: '0s' } }, /"0s" is not allowed/, /at most 1h/],
    ['a start that waits for a month', { environment: { KVAR_START_TIMEOUT: '30d' } }, /"30d"/, /at most 1d/],
    [
      'a copy of an unknown kind',
      { environment: { KVAR_COPIES: 'json,xml' } },
      /"xml" at 1 is not allowed/,
      /"json" and "backup"/,
    ],
    [
      'a mistyped key of the file',
      { file: { tagrets: [] } },
      /kvar.config.json: there is no setting "tagrets"/,
      /did you mean "targets"\?/,
    ],
    [
      'an unknown key of the file',
      { file: { colour: 1 } },
      /there is no setting "colour"/,
      /database, targets, ledger/,
    ],
    [
      'a mistyped key in keep',
      { file: { keep: { hourl: '1d' } } },
      /"keep" in .*: there is no setting "hourl"/,
      /"hourly"/,
    ],
    [
      'a mistyped key in KVAR_KEEP',
      { environment: { KVAR_KEEP: 'dayly=1d' } },
      /no setting "dayly"/,
      /"daily"/,
    ],
    ['KVAR_KEEP without values', { environment: { KVAR_KEEP: '7d' } }, /no setting "7d"/, /all=7d/],
    [
      'a limit that is too small',
      { file: { limits: { pendingBytes: 5 } } },
      /5 at pendingBytes/,
      /pendingBytes/,
    ],
    [
      'a file that is no JSON',
      { configFile: { path: CONFIG_PATH, text: '{"targets": [' } },
      /kvar.config.json: it is not valid JSON/,
      /comma/,
    ],
    ['a file that is a list', { file: ['folder:a'] }, /is not allowed/, /one JSON object/],
    [
      'a file that is null',
      { configFile: { path: CONFIG_PATH, text: 'null' } },
      /null is not allowed/,
      /one JSON object/,
    ],
    [
      'a mistyped option',
      { options: { target: ['folder:a'] } as never },
      /the options: there is no setting "target"/,
      /"targets"/,
    ],
    [
      'a mistyped variable',
      { environment: { KVAR_TARGET: 'folder:a' } },
      /the variable KVAR_TARGET/,
      /did you mean KVAR_TARGETS\?/,
    ],
    [
      'swapped letters of a variable',
      { environment: { KVAR_TAGRETS: 'folder:a' } },
      /KVAR_TAGRETS/,
      /KVAR_TARGETS/,
    ],
    [
      'a target twice',
      { options: { targets: ['folder:a', 'folder:/srv/b/../a'] } },
      /folder:\/srv\/a is listed twice/,
      /once/,
    ],
    [
      'too many targets',
      { options: { targets: Array.from({ length: 17 }, (_, index) => `folder:${index}`) } },
      /not allowed/,
      /16/,
    ],
    [
      'a database in memory',
      { databasePath: ':memory:' },
      /the database path: a database in memory/,
      /KVAR_DB/,
    ],
    ['a database by URL', { databasePath: 'file:app.db?mode=ro' }, /a plain path is needed/, /file:/],
    ['an empty database path', { databasePath: '' }, /the database path: ""/, /SQLite file/],
  ]

  it.each(cases)('%s', (_, input, message, hint) => {
    const error = refusal(input)
    expect(error.code).toBe('SETTING_INVALID')
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })

  it('no database at all', () => {
    const { message, hint } = (() => {
      try {
        resolveSettings({ options: {}, environment: {}, workingFolder: '/srv' })
      } catch (thrown) {
        return thrown as KvarError
      }
      throw new Error('nothing was refused')
    })()
    expect(message).toMatch(/do not say which database/)
    expect(hint).toMatch(/KVAR_DB/)
  })

  it('name the flag when options came from a command line', () => {
    const input = { optionsFrom: 'command-line', options: { startTimeout: 'x' } } as const
    expect(refusal(input).message).toMatch(/^Cannot use --start-timeout: /)
  })

  it("leave other programs' variables alone", () => {
    expect(() => resolved({ environment: { KVAR_SOMETHING_ELSE: 'x', TARGETS: 'y' } })).not.toThrow()
  })

  it('never show a text that may hold a password', () => {
    const secret = 's3cret'
    const inputs: Array<Parameters<typeof resolved>[0]> = [
      { environment: { KVAR_TARGETS: `nosuch://user:${secret}@host/path` } },
      { environment: { KVAR_TARGETS: `folder://user:${secret}@host/path` } },
      { environment: { KVAR_TARGETS: `folder:/x?password=${secret}` } },
      { environment: { KVAR_TARGETS: `user:${secret}@host` } },
      { environment: { KVAR_LEDGER: `nosuch://user:${secret}@host/path` } },
      { options: { targets: [{ url: `x://user:${secret}@host` }] as never } },
      { configFile: { path: CONFIG_PATH, text: `{"targets": ["x://u:${secret}@host" oops]}` } },
      { file: { targets: `nosuch://user:${secret}@host/path` } },
    ]
    for (const input of inputs) {
      const error = refusal(input)
      expect(JSON.stringify([error.toJSON(), String(error.cause), error.stack])).not.toContain(secret)
    }
  })
})

describe('whatever comes in', () => {
  it('gives settings that survive JSON, or a KvarError', () => {
    const words = fc.oneof(
      fc.string(),
      fc.constantFrom('folder:a', 'folder:/b?x=1', '1s', 'forever', 'all', 'json', 'all=1d', ':', '%', '~/x'),
    )
    const names = [
      'KVAR_DB',
      'KVAR_TARGETS',
      'KVAR_LEDGER',
      'KVAR_COPIES',
      'KVAR_KEEP',
      'KVAR_INTERVAL',
      'KVAR_SCHEMA',
    ]
    const environments = fc.dictionary(fc.constantFrom(...names), words)
    const texts = fc.oneof(
      fc.json(),
      fc.string(),
      fc
        .dictionary(fc.constantFrom('targets', 'keep', 'limits', 'interval'), fc.jsonValue())
        .map((value) => JSON.stringify(value)),
    )
    fc.assert(
      fc.property(environments, texts, (environment, text) => {
        const input = {
          options: {},
          environment,
          workingFolder: '/srv',
          configFile: { path: CONFIG_PATH, text },
        }
        try {
          const settings = resolveSettings(input)
          expect(JSON.parse(JSON.stringify(settings))).toEqual(settings)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(KvarError)
          expect((thrown as KvarError).hint).toBeTruthy()
        }
      }),
      { numRuns: 2000 },
    )
  })
})
